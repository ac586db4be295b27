"""Wire messages to and from what a shard understands; one function a message."""

from __future__ import annotations

import numpy as np
from retrieval.v1.common_pb2 import ServerTiming
from retrieval.v1.shard_pb2 import (
    GetShardInfoResponse,
    HitList,
    PassageList,
    ShardServiceSearchRequest,
    ShardServiceSearchResponse,
)

from index_svc.passages import PassageColumns
from index_svc.shard import ShardAnswer, ShardFacts, ShardQuery
from retrieval_core import hits as core
from servicekit.call import Call
from servicekit.durations import duration_from_ns
from servicekit.matrices import matrix_from_message, matrix_to_message


def shard_query(request: ShardServiceSearchRequest, dimensions: int) -> ShardQuery:
    """Read a search; InvalidInput names the field that is not [1, dimensions] and finite."""
    return ShardQuery(
        vector=matrix_from_message(request.query, columns=dimensions, field="query", max_rows=1),
        k=request.k,
        nprobe=request.nprobe,
        exact=request.exact,
        lanes=tuple(request.lanes),
        excluded_ids=np.fromiter(request.excluded_passage_ids, np.int64),
        fingerprint=request.fingerprint,
        include_passages=request.include_passages,
        include_projections=request.include_projections,
    )


def search_response(answer: ShardAnswer, release_id: str, call: Call) -> ShardServiceSearchResponse:
    """Write an answer; the timing of the call is taken last, so that it holds the rest."""
    projections = answer.hits.projections
    response = ShardServiceSearchResponse(
        hits=hit_list(answer.hits),
        passages=None if answer.passages is None else passage_list(answer.passages),
        projections=None if projections is None else matrix_to_message(projections),
        search=duration_from_ns(answer.search_ns),
        nprobe=answer.nprobe,
        unknown_lanes=answer.unknown_lanes,
        release_id=release_id,
    )
    response.server.CopyFrom(server_timing(call))
    return response


def hit_list(hits: core.HitList) -> HitList:
    """Hits as parallel arrays, best first."""
    return HitList(
        passage_ids=hits.passage_ids.tolist(),
        scores=hits.scores.tolist(),
        article_keys=hits.article_keys.tolist(),
        positions=hits.positions.tolist(),
    )


def passage_list(passages: PassageColumns) -> PassageList:
    """The readable part, parallel to the hits."""
    return PassageList(article_ids=passages.article_ids, lanes=passages.lanes, texts=passages.texts)


def server_timing(call: Call) -> ServerTiming:
    """What this server has taken so far."""
    return ServerTiming(
        queued=duration_from_ns(call.queued_ns), elapsed=duration_from_ns(call.elapsed_ns())
    )


def shard_info_response(facts: ShardFacts, version: str) -> GetShardInfoResponse:
    """What the shard holds."""
    return GetShardInfoResponse(
        release_id=facts.release_id,
        shard=facts.shard,
        shard_count=facts.shard_count,
        passage_count=facts.passage_count,
        dimensions=facts.dimensions,
        nlist=facts.nlist,
        nprobe=facts.nprobe,
        lanes=facts.lanes,
        fingerprint=facts.fingerprint,
        projection_dimensions=facts.projection_dimensions,
        imbalance_ratio=facts.imbalance_ratio,
        version=version,
    )
