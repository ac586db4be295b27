"""What every answered request leaves behind: stage percentiles and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from retrieval_core.coverage import Coverage, Degradation
from retrieval_core.latency import LatencySummary, LatencyWindow
from retrieval_core.timing import RETRIEVAL_STAGES, Stage, Timings, stage_totals_ns
from servicekit.metric_names import LATENCY_BUCKETS_S, MetricSpec
from servicekit.telemetry import ServiceMetrics

STAGE_DURATION = MetricSpec(
    "gateway_stage_duration_seconds",
    "histogram",
    "s",
    "Wall time of a stage of one request; retrieval, total and unaccounted are stages here too",
    ("stage",),
    LATENCY_BUCKETS_S,
)
REQUESTS = MetricSpec(
    "gateway_requests_total",
    "counter",
    "1",
    "Queries answered, those of batches included, by kind: text, vector, context",
    ("kind",),
)
COVERAGE = MetricSpec(
    "gateway_coverage_ratio",
    "histogram",
    "1",
    "Shards that answered of those the corpus has, per answered query",
    (),
    (0.25, 0.5, 0.75, 0.9, 0.999, 1.0),
)
MISSING_SHARDS = MetricSpec(
    "gateway_missing_shards_total",
    "counter",
    "1",
    "Shards that did not contribute to an answer, by target and reason",
    ("target", "reason"),
)
DEGRADATIONS = MetricSpec(
    "gateway_degradations_total",
    "counter",
    "1",
    "Steps left out or lowered to answer in time, by step and reason",
    ("step", "reason"),
)
TARGET_SERVING = MetricSpec(
    "gateway_target_serving",
    "gauge",
    "1",
    "1 while the target passes its checks and is asked, 0 otherwise",
    ("target",),
)
QUERIES_IN_FLIGHT = MetricSpec(
    "gateway_queries_in_flight", "gauge", "1", "Queries being answered, each of a batch counted"
)
STAGE_METRICS = (
    STAGE_DURATION,
    REQUESTS,
    COVERAGE,
    MISSING_SHARDS,
    DEGRADATIONS,
    TARGET_SERVING,
    QUERIES_IN_FLIGHT,
)

RETRIEVAL = "RETRIEVAL"
UNACCOUNTED = "UNACCOUNTED"
SERIES = (
    *(stage.value for stage in RETRIEVAL_STAGES),
    RETRIEVAL,
    Stage.RERANK.value,
    Stage.TOTAL.value,
    UNACCOUNTED,
)
"""What percentiles are kept of, in the order in which people read them."""

_WINDOW = 1024


@dataclass(frozen=True, slots=True)
class StageLatency:
    """Percentiles of one series over the last requests, beside its soft budget (0: none)."""

    summary: LatencySummary | None
    budget_ns: int


class StageWindows:
    """The last durations of every series."""

    def __init__(self, names: Iterable[str]) -> None:
        self._windows = {name: LatencyWindow(_WINDOW) for name in names}

    def add(self, series_ns: Mapping[str, int]) -> None:
        """Keep one request's."""
        for name, elapsed_ns in series_ns.items():
            self._windows[name].add_ns(elapsed_ns)

    def latencies(self, budgets_ns: Mapping[Stage, int]) -> dict[str, StageLatency]:
        """Percentiles of every series, in the order of the pipeline."""
        budgets = _series_budgets_ns(budgets_ns)
        return {
            name: StageLatency(window.summary(), budgets.get(name, 0))
            for name, window in self._windows.items()
        }


@dataclass(slots=True)
class Observer:
    """Feeds percentiles and metrics from the same timings that the response carries."""

    metrics: ServiceMetrics
    budgets_ns: Mapping[Stage, int]
    _windows: StageWindows = field(init=False, default_factory=lambda: StageWindows(SERIES))

    def record(
        self,
        kind: str,
        timings: Timings,
        coverage: Coverage,
        degradations: tuple[Degradation, ...],
    ) -> dict[str, int]:
        """Take note of one answered query; returns its series_of."""
        series_ns = series_of(timings)
        self._windows.add(series_ns)
        for name, elapsed_ns in series_ns.items():
            self.metrics.record(STAGE_DURATION, elapsed_ns / 1e9, stage=name)
        self.metrics.add(REQUESTS, kind=kind)
        self.metrics.record(COVERAGE, coverage.ratio)
        for shard in coverage.missing:
            self.metrics.add(MISSING_SHARDS, target=shard.target, reason=shard.reason.value)
        for degradation in degradations:
            step = degradation.step.value
            self.metrics.add(DEGRADATIONS, step=step, reason=degradation.reason)
        return series_ns

    def latencies(self) -> dict[str, StageLatency]:
        """Percentiles of every series, in the order of the pipeline."""
        return self._windows.latencies(self.budgets_ns)


def _series_budgets_ns(budgets_ns: Mapping[Stage, int]) -> dict[str, int]:
    budgets = {stage.value: budget_ns for stage, budget_ns in budgets_ns.items()}
    retrieval = sum(budgets_ns.get(stage, 0) for stage in RETRIEVAL_STAGES)
    return {**budgets, RETRIEVAL: retrieval}


def series_of(timings: Timings) -> dict[str, int]:
    """Nanoseconds of every series that the request has."""
    totals = stage_totals_ns(timings.stages)
    retrieval_ns = sum(totals.get(stage, 0) for stage in RETRIEVAL_STAGES)
    return {
        **{stage.value: elapsed_ns for stage, elapsed_ns in totals.items()},
        RETRIEVAL: retrieval_ns,
        Stage.TOTAL.value: timings.total_ns,
        UNACCOUNTED: max(0, timings.total_ns - sum(totals.values())),
    }
