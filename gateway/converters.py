"""Public messages to checked queries, and answers to public messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from retrieval.v1.common_pb2 import Matrix, Passage, StageTiming
from retrieval.v1.common_pb2 import Stage as WireStage
from retrieval.v1.common_pb2 import Timings as TimingsMessage
from retrieval.v1.encoder_pb2 import Context, ContextItem
from retrieval.v1.retrieval_pb2 import Coverage as CoverageMessage
from retrieval.v1.retrieval_pb2 import Degradation as DegradationMessage
from retrieval.v1.retrieval_pb2 import (
    Explanation,
    Feature,
    GetTopologyResponse,
    Hit,
    MissingShard,
    SearchError,
    SearchRequest,
    SearchResponse,
)
from retrieval.v1.retrieval_pb2 import Target as TargetMessage

from gateway.answer import Answer, AnswerHit, HitExplanation
from gateway.query import (
    ContextQuery,
    QueryLimits,
    SearchQuery,
    Subject,
    TextQuery,
    VectorQuery,
    check_at_most,
    check_count,
    check_lanes,
    check_limit,
    check_name,
    check_text,
)
from gateway.topology import TargetState
from retrieval_core.coverage import Coverage, Degradation, DegradationStep, MissingReason
from retrieval_core.errors import InvalidInput, RetrievalError
from retrieval_core.timing import Stage, Timings
from retrieval_core.timing import StageTiming as StageTimingValue
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows
from servicekit.durations import duration_from_ns
from servicekit.matrices import matrix_from_message
from servicekit.status import code_number, public_text

_NS_PER_S = 1_000_000_000

_STAGES = {stage: WireStage.Value(f"STAGE_{stage.value}") for stage in Stage}
_STEPS = {step: DegradationMessage.Step.Value(f"STEP_{step.value}") for step in DegradationStep}
_REASONS = {reason: MissingShard.Reason.Value(f"REASON_{reason.value}") for reason in MissingReason}


def query_from_message(request: SearchRequest, limits: QueryLimits) -> SearchQuery:
    """Check every field of a request. Raises InvalidInput naming the first that is wrong."""
    check_count(request.excluded_passage_ids, limits.max_excluded, "excluded_passage_ids")
    check_name(request.routing_key, "routing_key", limits)
    return SearchQuery(
        subject=_subject(request, limits),
        limit=check_limit(request.limit, limits),
        lanes=check_lanes(request.lanes, limits),
        nprobe=check_at_most(request.nprobe, limits.max_nprobe, "nprobe"),
        exact=request.exact,
        excluded_passage_ids=tuple(request.excluded_passage_ids),
        explain=request.explain,
        skip_rerank=request.skip_rerank,
        fingerprint=request.fingerprint,
        query_model=check_name(request.query_model, "query_model", limits),
    )


def _subject(request: SearchRequest, limits: QueryLimits) -> Subject:
    kind = request.WhichOneof("query")
    if kind == "text":
        return TextQuery(check_text(request.text, "text", limits))
    if kind == "vector":
        return VectorQuery(_vector(request.vector, "vector"))
    if kind == "context":
        return _context(request.context, limits)
    raise InvalidInput("query", "has none of text, vector, context", reason="NO_QUERY")


def _context(context: Context, limits: QueryLimits) -> ContextQuery:
    if not context.items:
        raise InvalidInput("context.items", "is empty", reason="EMPTY_CONTEXT")
    check_count(context.items, limits.max_context_items, "context.items")
    items = (
        _context_item(item, f"context.items[{index}]", limits)
        for index, item in enumerate(context.items)
    )
    return ContextQuery(tuple(items))


def _context_item(item: ContextItem, field: str, limits: QueryLimits) -> str | Float32Matrix:
    kind = item.WhichOneof("item")
    if kind == "text":
        return check_text(item.text, f"{field}.text", limits)
    if kind == "vector":
        return _vector(item.vector, f"{field}.vector")
    raise InvalidInput(field, "has neither text nor vector", reason="NO_ITEM")


def _vector(matrix: Matrix, field: str) -> Float32Matrix:
    vector = matrix_from_message(matrix, columns=DIMENSIONS, field=field, max_rows=1)
    if not vector.any():
        raise InvalidInput(field, "has no direction: all are zero", reason="ZERO_VECTOR")
    return normalize_rows(vector)


def search_response(answer: Answer, arm: str = "", flags_generation: int = 0) -> SearchResponse:
    """Write an answer and what answered it; the timings are added when the ledger is closed."""
    return SearchResponse(
        hits=[_hit(hit) for hit in answer.hits],
        coverage=_coverage(answer.coverage),
        degradations=[_degradation(degradation) for degradation in answer.degradations],
        release_id=answer.release_id,
        fingerprint=answer.fingerprint,
        query_model=answer.query_model,
        truncated=answer.truncated,
        nprobe=answer.nprobe,
        arm=arm,
        flags_generation=flags_generation,
    )


def _hit(hit: AnswerHit) -> Hit:
    passage = Passage(
        passage_id=hit.passage_id,
        article_id=hit.passage.article_id,
        position=hit.position,
        lane=hit.passage.lane,
        text=hit.passage.text,
    )
    if hit.explanation is None:
        return Hit(passage=passage, score=hit.score)
    return Hit(passage=passage, score=hit.score, explanation=_explanation(hit.explanation))


def _explanation(explanation: HitExplanation) -> Explanation:
    return Explanation(
        cosine=explanation.cosine,
        margin=explanation.margin,
        rank_before=explanation.rank_before,
        rank_after=explanation.rank_after,
        same_article_count=explanation.same_article_count,
        features=[Feature(name=name, value=value) for name, value in explanation.features],
    )


def _coverage(coverage: Coverage) -> CoverageMessage:
    return CoverageMessage(
        shards_asked=coverage.asked,
        shards_answered=coverage.answered,
        ratio=coverage.ratio,
        missing=[
            MissingShard(target=shard.target, reason=_REASONS[shard.reason], detail=shard.detail)
            for shard in coverage.missing
        ],
    )


def _degradation(degradation: Degradation) -> DegradationMessage:
    return DegradationMessage(
        step=_STEPS[degradation.step], reason=degradation.reason, detail=degradation.detail
    )


def timings_message(timings: Timings) -> TimingsMessage:
    """Write the timings of one request, in the order of the pipeline."""
    return TimingsMessage(
        stages=[
            StageTiming(
                stage=_STAGES[timing.stage],
                target=timing.target,
                elapsed=_duration(timing.elapsed_ns),
                queued=_duration(timing.queued_ns),
                budget=_duration(timing.budget_ns),
            )
            for timing in sorted(timings.stages, key=_place)
        ],
        total=duration_from_ns(timings.total_ns),
        unaccounted=duration_from_ns(timings.unaccounted_ns),
    )


def _duration(elapsed_ns: int) -> Any:  # noqa: ANN401 - a Duration to the constructor
    # Half the price of a message that is copied in; an answer has some fifteen of them.
    return {"seconds": elapsed_ns // _NS_PER_S, "nanos": elapsed_ns % _NS_PER_S}


def _place(timing: StageTimingValue) -> int:
    return _STAGES[timing.stage]


def search_error(error: RetrievalError) -> SearchError:
    """Write the error of one query of a batch."""
    field = error.violations[0].field if isinstance(error, InvalidInput) else ""
    return SearchError(
        code=code_number(error), reason=error.reason, message=public_text(error), field=field
    )


def topology_response(
    release_id: str, version: str, states: Iterable[TargetState]
) -> GetTopologyResponse:
    """Write what the last checks found."""
    return GetTopologyResponse(
        release_id=release_id, version=version, targets=[_target(state) for state in states]
    )


def _target(state: TargetState) -> TargetMessage:
    message = TargetMessage(
        name=state.name,
        address=state.address,
        serving=state.is_serving,
        release_id=state.release_id,
        fingerprint=state.fingerprint,
        passage_count=state.passage_count,
        lanes=state.lanes,
        detail=state.detail,
    )
    if state.age_ns is not None:
        message.last_seen.CopyFrom(duration_from_ns(state.age_ns))
    return message


def check_batch(requests: Sequence[SearchRequest], maximum: int) -> None:
    """Raise InvalidInput unless a batch has 1 to `maximum` requests."""
    if not requests:
        raise InvalidInput("requests", "is empty", reason="EMPTY_BATCH")
    check_count(requests, maximum, "requests")
