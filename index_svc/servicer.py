"""The RPC methods: convert, search, convert."""

from __future__ import annotations

from retrieval.v1 import shard_pb2_grpc
from retrieval.v1.shard_pb2 import (
    GetShardInfoRequest,
    GetShardInfoResponse,
    ShardServiceSearchRequest,
    ShardServiceSearchResponse,
)

from index_svc.converters import search_response, shard_info_response, shard_query
from index_svc.metric_names import (
    CORPUS_GROWTH,
    HITS,
    IMBALANCE,
    LISTS_SCANNED,
    PASSAGES,
    SEARCH_DURATION,
    SEARCHES,
    WIDENED,
)
from index_svc.shard import Shard, ShardAnswer
from servicekit.binding import Service
from servicekit.call import current_call
from servicekit.telemetry import ServiceMetrics

SERVICE_NAME = "retrieval.v1.ShardService"


class ShardServicer(shard_pb2_grpc.ShardServiceServicer):
    """Serves one loaded shard."""

    def __init__(self, shard: Shard, metrics: ServiceMetrics, version: str) -> None:
        self._shard = shard
        self._metrics = metrics
        self._info = shard_info_response(shard.facts, version)
        metrics.set(PASSAGES, shard.facts.passage_count)
        metrics.set(IMBALANCE, shard.facts.imbalance_ratio)
        metrics.set(CORPUS_GROWTH, shard.facts.growth_ratio)

    def Search(  # noqa: N802 - the name is on the wire
        self, request: ShardServiceSearchRequest, context: object
    ) -> ShardServiceSearchResponse:
        """Finds the k passages with the highest inner product."""
        del context
        facts = self._shard.facts
        answer = self._shard.search(shard_query(request, facts.dimensions))
        self._count(answer, exact=request.exact)
        return search_response(answer, facts.release_id, current_call())

    def GetShardInfo(  # noqa: N802 - the name is on the wire
        self, request: GetShardInfoRequest, context: object
    ) -> GetShardInfoResponse:
        """Says what the shard holds."""
        del request, context
        return self._info

    def _count(self, answer: ShardAnswer, *, exact: bool) -> None:
        self._metrics.add(SEARCHES, mode="exact" if exact else "probe")
        self._metrics.record(SEARCH_DURATION, answer.search_ns / 1e9)
        self._metrics.add(HITS, len(answer.hits))
        self._metrics.add(LISTS_SCANNED, answer.nprobe)
        if answer.widened:
            self._metrics.add(WIDENED)


def shard_service(shard: Shard, metrics: ServiceMetrics, version: str) -> Service:
    """The service as a server registers it."""
    return Service(
        SERVICE_NAME,
        shard_pb2_grpc.add_ShardServiceServicer_to_server,
        ShardServicer(shard, metrics, version),
    )
