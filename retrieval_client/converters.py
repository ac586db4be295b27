"""Queries to request messages, and response messages to results; one function a message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrieval.v1 import common_pb2, encoder_pb2, retrieval_pb2

from retrieval_client.queries import Query
from retrieval_client.results import (
    Coverage,
    Degradation,
    Explanation,
    Hit,
    MissingShard,
    SearchResult,
    Target,
    Topology,
)
from retrieval_core.errors import InvalidInput
from retrieval_core.timing import Stage, StageTiming, Timings
from servicekit.durations import duration_to_ns

if TYPE_CHECKING:
    from retrieval_client.queries import ContextItem, Vector

_STAGES = {getattr(common_pb2, f"STAGE_{stage.value}"): stage for stage in Stage}


def search_request(query: Query) -> retrieval_pb2.SearchRequest:
    """The message of one query. What no message can hold raises InvalidInput naming the field."""
    request = retrieval_pb2.SearchRequest(
        limit=query.limit,
        lanes=query.lanes,
        nprobe=query.nprobe,
        exact=query.exact,
        excluded_passage_ids=query.excluded_passage_ids,
        explain=query.explain,
        skip_rerank=query.skip_rerank,
        fingerprint=query.fingerprint,
        routing_key=_wire_text(query.routing_key, "routing_key"),
        query_model=_wire_text(query.query_model, "query_model"),
    )
    if query.text is not None:
        request.text = _wire_text(query.text, "text")
    elif query.vector is not None:
        request.vector.CopyFrom(matrix_message(query.vector, "vector"))
    elif query.context is not None:
        request.context.CopyFrom(_context_message(query.context))
    return request


def _wire_text(text: str, field: str) -> str:
    # A lone surrogate, say; protobuf's own error names neither the field nor the trouble.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(field, "is not valid UTF-8", reason="NOT_UTF8") from error
    return text


def matrix_message(vector: Vector, field: str) -> common_pb2.Matrix:
    """One row of float32. vector [d] or [1, d]; other shapes raise InvalidInput naming `field`."""
    # A caller that sends texts alone never pays for the import of numpy.
    import numpy as np

    from servicekit.matrices import matrix_to_message

    try:
        # What float32 cannot hold becomes infinite, and the server says so by field.
        with np.errstate(over="ignore"):
            row = np.asarray(vector, dtype="<f4")
    except (TypeError, ValueError) as error:
        raise InvalidInput(field, "is not an array of numbers", reason="WRONG_TYPE") from error
    if row.ndim not in {1, 2} or (row.ndim == 2 and row.shape[0] != 1):
        raise InvalidInput(
            field, f"has shape {list(row.shape)}, expected one row", reason="WRONG_SHAPE"
        )
    return matrix_to_message(row.reshape(1, -1))


def _context_message(context: Sequence[ContextItem]) -> encoder_pb2.Context:
    return encoder_pb2.Context(
        items=[_context_item_message(item, index) for index, item in enumerate(context)]
    )


def _context_item_message(item: ContextItem, index: int) -> encoder_pb2.ContextItem:
    if isinstance(item, str):
        return encoder_pb2.ContextItem(text=_wire_text(item, f"context.items[{index}].text"))
    return encoder_pb2.ContextItem(vector=matrix_message(item, f"context.items[{index}].vector"))


def search_result(
    message: retrieval_pb2.SearchResponse, client_elapsed_ns: int = 0
) -> SearchResult:
    """The answer to one query."""
    return SearchResult(
        hits=tuple(_hit(hit) for hit in message.hits),
        timings=timings_of(message.timings),
        coverage=_coverage(message.coverage),
        degradations=tuple(_degradation(item) for item in message.degradations),
        release_id=message.release_id,
        fingerprint=message.fingerprint,
        query_model=message.query_model,
        truncated=message.truncated,
        nprobe=message.nprobe,
        arm=message.arm,
        flags_generation=message.flags_generation,
        client_elapsed_ns=client_elapsed_ns,
    )


def _hit(message: retrieval_pb2.Hit) -> Hit:
    passage = message.passage
    return Hit(
        passage_id=passage.passage_id,
        article_id=passage.article_id,
        position=passage.position,
        lane=passage.lane,
        score=message.score,
        text=passage.text,
        explanation=(
            _explanation(message.explanation) if message.HasField("explanation") else None
        ),
    )


def _explanation(message: retrieval_pb2.Explanation) -> Explanation:
    return Explanation(
        cosine=message.cosine,
        margin=message.margin,
        rank_before=message.rank_before,
        rank_after=message.rank_after,
        same_article_count=message.same_article_count,
        features={feature.name: feature.value for feature in message.features},
    )


def timings_of(message: common_pb2.Timings) -> Timings:
    """The ledger of a request. A stage this client does not know counts as unaccounted."""
    return Timings(
        stages=tuple(
            _stage_timing(entry, _STAGES[entry.stage])
            for entry in message.stages
            if entry.stage in _STAGES
        ),
        total_ns=duration_to_ns(message.total),
    )


def _stage_timing(message: common_pb2.StageTiming, stage: Stage) -> StageTiming:
    return StageTiming(
        stage,
        message.target,
        duration_to_ns(message.elapsed),
        duration_to_ns(message.queued),
        duration_to_ns(message.budget),
    )


def _coverage(message: retrieval_pb2.Coverage) -> Coverage:
    return Coverage(
        shards_asked=message.shards_asked,
        shards_answered=message.shards_answered,
        ratio=message.ratio,
        missing=tuple(
            MissingShard(item.target, _missing_reason(item.reason), item.detail)
            for item in message.missing
        ),
    )


def _missing_reason(value: int) -> str:
    # A newer server may send a number that this client has no name for.
    known = retrieval_pb2.MissingShard.Reason
    name = known.Name(value) if value in known.values() else f"REASON_{value}"  # type: ignore[arg-type]
    return name.removeprefix("REASON_")


def _degradation(message: retrieval_pb2.Degradation) -> Degradation:
    return Degradation(_degradation_step(message.step), message.reason, message.detail)


def _degradation_step(value: int) -> str:
    known = retrieval_pb2.Degradation.Step
    name = known.Name(value) if value in known.values() else f"STEP_{value}"  # type: ignore[arg-type]
    return name.removeprefix("STEP_")


def topology_of(message: retrieval_pb2.GetTopologyResponse) -> Topology:
    """What stands behind the gateway."""
    return Topology(
        message.release_id, message.version, tuple(_target(target) for target in message.targets)
    )


def _target(message: retrieval_pb2.Target) -> Target:
    return Target(
        name=message.name,
        address=message.address,
        serving=message.serving,
        release_id=message.release_id,
        fingerprint=message.fingerprint,
        passage_count=message.passage_count,
        lanes=tuple(message.lanes),
        detail=message.detail,
        last_seen_ns=duration_to_ns(message.last_seen),
    )
