"""What every request leaves behind for its arm: counts to compare two arms by, and percentiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.answer import Answer
from gateway.answer_quality import AnswerQuality, quality_of
from gateway.observing import SERIES, StageWindows
from gateway.query import ContextQuery
from retrieval_core.errors import FailedPrecondition, InvalidInput, Overloaded
from retrieval_core.timing import Stage
from servicekit.metric_names import LATENCY_BUCKETS_S, MetricSpec
from servicekit.telemetry import ServiceMetrics

CONTEXT_KIND = ContextQuery.kind

OK = "ok"
ERROR = "error"
REFUSED = "refused"
INVALID = "invalid"
OUTCOMES = (OK, ERROR, REFUSED, INVALID)

ARM_REQUESTS = MetricSpec(
    "gateway_arm_requests_total",
    "counter",
    "1",
    "Queries by arm and outcome: ok, error, refused (for lack of capacity), invalid (the caller's)",
    ("arm", "outcome"),
)
ARM_DURATION = MetricSpec(
    "gateway_arm_duration_seconds",
    "histogram",
    "s",
    "Wall time of one answered query, by arm",
    ("arm",),
    LATENCY_BUCKETS_S,
)
ARM_QUERIES = MetricSpec(
    "gateway_arm_queries_total",
    "counter",
    "1",
    "Answered queries, of which the counters below are shares",
    ("arm",),
)
ARM_INCOMPLETE = MetricSpec(
    "gateway_arm_incomplete_total",
    "counter",
    "1",
    "Answered queries to which at least one shard of the corpus did not contribute",
    ("arm",),
)
ARM_CONFIDENT = MetricSpec(
    "gateway_arm_confident_total",
    "counter",
    "1",
    "Answered queries whose best cosine is one that right answers have, by the calibration",
    ("arm",),
)
ARM_RERANKED = MetricSpec(
    "gateway_arm_reranked_total", "counter", "1", "Answered queries that were reranked", ("arm",)
)
ARM_RANK1_CHANGED = MetricSpec(
    "gateway_arm_rank1_changed_total",
    "counter",
    "1",
    "Reranked queries whose first hit is another than before the reranker",
    ("arm",),
)
ARM_CANDIDATES = MetricSpec(
    "gateway_arm_candidates_total",
    "counter",
    "1",
    "Candidates that were compared with each other",
    ("arm",),
)
ARM_NEAR_DUPLICATES = MetricSpec(
    "gateway_arm_near_duplicates_total",
    "counter",
    "1",
    "Candidates with an estimated cosine above 0.98 to a better-ranked one",
    ("arm",),
)
ARM_TOP5_COSINE = MetricSpec(
    "gateway_arm_top5_cosine",
    "summary",
    "1",
    "Mean estimated cosine among the first five hits; lower is more diverse",
    ("arm",),
)
ARM_METRICS = (
    ARM_REQUESTS,
    ARM_DURATION,
    ARM_QUERIES,
    ARM_INCOMPLETE,
    ARM_CONFIDENT,
    ARM_RERANKED,
    ARM_RANK1_CHANGED,
    ARM_CANDIDATES,
    ARM_NEAR_DUPLICATES,
    ARM_TOP5_COSINE,
)


@dataclass(frozen=True, slots=True)
class QualityPolicy:
    """From these cosines on the best one counts as confident: of a question, of a context.

    A predicted vector lies nearer to passages than a question's does, whatever its answer is worth.
    """

    confident_cosine: float = 0.24
    context_confident_cosine: float = 0.30
    candidate_count: int = 50

    def is_confident(self, best_cosine: float, kind: str) -> bool:
        """Whether the best cosine of a query of this kind is one that right answers have."""
        least = self.context_confident_cosine if kind == CONTEXT_KIND else self.confident_cosine
        return best_cosine >= least


class ArmObserver:
    """Counts for one arm; its percentiles begin with it, its counters go on."""

    def __init__(self, arm: str, metrics: ServiceMetrics, policy: QualityPolicy) -> None:
        self.windows = StageWindows(SERIES)
        self._policy = policy
        self._outcomes = {
            outcome: metrics.counter(ARM_REQUESTS, arm=arm, outcome=outcome) for outcome in OUTCOMES
        }
        self._duration = metrics.histogram(ARM_DURATION, arm=arm)
        self._queries = metrics.counter(ARM_QUERIES, arm=arm)
        self._incomplete = metrics.counter(ARM_INCOMPLETE, arm=arm)
        self._confident = metrics.counter(ARM_CONFIDENT, arm=arm)
        self._reranked = metrics.counter(ARM_RERANKED, arm=arm)
        self._rank1_changed = metrics.counter(ARM_RANK1_CHANGED, arm=arm)
        self._candidates = metrics.counter(ARM_CANDIDATES, arm=arm)
        self._near_duplicates = metrics.counter(ARM_NEAR_DUPLICATES, arm=arm)
        self._top5_cosine = metrics.summary(ARM_TOP5_COSINE, arm=arm)

    def answered(self, kind: str, series_ns: Mapping[str, int], answer: Answer) -> None:
        """Take note of an answered query of a kind; `series_ns` as series_of has them."""
        self.windows.add(series_ns)
        self._outcomes[OK].inc()
        self._duration.observe(series_ns[Stage.TOTAL.value] / 1e9)
        self._queries.inc()
        if answer.coverage.ratio < 1.0:
            self._incomplete.inc()
        if answer.found is not None:
            self._note(kind, quality_of(answer.found, self._policy.candidate_count))

    def failed(self, outcome: str) -> None:
        """Take note of a query without an answer."""
        self._outcomes[outcome].inc()

    def _note(self, kind: str, quality: AnswerQuality) -> None:
        best = quality.best_cosine
        if best is not None and self._policy.is_confident(best, kind):
            self._confident.inc()
        if quality.is_reranked:
            self._reranked.inc()
        if quality.rank1_changed:
            self._rank1_changed.inc()
        if quality.candidate_count:
            self._candidates.inc(quality.candidate_count)
        if quality.near_duplicate_count:
            self._near_duplicates.inc(quality.near_duplicate_count)
        if quality.top_cosine is not None:
            self._top5_cosine.observe(quality.top_cosine)


def outcome_of(error: BaseException, *, brings_fingerprint: bool) -> str:
    """What an error is for the arm that was asked.

    Vectors of another encoder are the caller's fault only where the caller brought any.
    """
    if isinstance(error, Overloaded):
        return REFUSED
    if isinstance(error, InvalidInput):
        return INVALID
    return INVALID if isinstance(error, FailedPrecondition) and brings_fingerprint else ERROR
