"""What answered requests leave behind."""

from __future__ import annotations

import pytest

from gateway.health import stage_reports
from gateway.metrics import METRICS
from gateway.observing import SERIES, Observer
from retrieval_core.coverage import (
    Coverage,
    Degradation,
    DegradationStep,
    MissingReason,
    MissingShard,
)
from retrieval_core.timing import DEFAULT_BUDGETS_NS, Stage, StageTiming, Timings
from servicekit.telemetry import ServiceMetrics

MS = 1_000_000


def timings() -> Timings:
    stages = (
        StageTiming(Stage.ENCODE, "encoder", 3 * MS, 0, 0),
        StageTiming(Stage.SEARCH, "shard-0", 1 * MS, 0, 0),
        StageTiming(Stage.SEARCH, "shard-1", 2 * MS, 0, 0),
        StageTiming(Stage.MERGE, "gateway", 1 * MS, 0, 0),
        StageTiming(Stage.RERANK, "reranker", 4 * MS, 0, 0),
    )
    return Timings(stages, 12 * MS)


def observed() -> Observer:
    observer = Observer(ServiceMetrics("gateway", METRICS), DEFAULT_BUDGETS_NS)
    missing = MissingShard("shard-2", MissingReason.TIMED_OUT)
    skipped = Degradation(DegradationStep.SKIP_RERANK, "NO_TIME_LEFT")
    observer.record("text", timings(), Coverage(3, (missing,)), (skipped,))
    return observer


def test_percentiles_are_those_of_the_wall_time_of_stages() -> None:
    reports = stage_reports(observed().latencies())
    p95 = {name: report["p95_ms"] for name, report in reports.items()}
    assert p95 == {
        "ENCODE": 3.0,
        "SEARCH": 2.0,
        "MERGE": 1.0,
        "RETRIEVAL": 6.0,
        "RERANK": 4.0,
        "TOTAL": 12.0,
        "UNACCOUNTED": 2.0,
    }
    assert list(reports) == [name for name in SERIES if name in reports]


def test_budgets_stand_beside_the_percentiles() -> None:
    reports = stage_reports(observed().latencies())
    assert reports["RETRIEVAL"]["budget_ms"] == 8.0
    assert reports["RERANK"]["budget_ms"] == 2.0
    assert reports["TOTAL"]["budget_ms"] == 10.0
    assert reports["UNACCOUNTED"]["budget_ms"] == 0


@pytest.mark.parametrize(
    ("sample", "labels", "value"),
    [
        ("gateway_requests_total", {"kind": "text"}, 1),
        ("gateway_stage_duration_seconds_count", {"stage": "SEARCH"}, 1),
        ("gateway_stage_duration_seconds_sum", {"stage": "SEARCH"}, 0.002),
        ("gateway_stage_duration_seconds_sum", {"stage": "UNACCOUNTED"}, 0.002),
        ("gateway_coverage_ratio_bucket", {"le": "0.5"}, 0),
        ("gateway_coverage_ratio_bucket", {"le": "0.75"}, 1),
        ("gateway_missing_shards_total", {"target": "shard-2", "reason": "TIMED_OUT"}, 1),
        ("gateway_degradations_total", {"step": "SKIP_RERANK", "reason": "NO_TIME_LEFT"}, 1),
    ],
)
def test_metrics_come_from_the_same_timings(
    sample: str, labels: dict[str, str], value: float
) -> None:
    assert observed().metrics.value(sample, **labels) == pytest.approx(value)


def test_the_histograms_are_few_enough_to_be_scraped() -> None:
    # A scrape happens under the interpreter's lock: about ten series of at most twelve buckets.
    histograms = [spec for spec in METRICS if spec.kind == "histogram"]
    assert all(len(spec.buckets) <= 12 for spec in histograms)
    assert len(SERIES) + len(histograms) - 1 <= 10
