"""Metrics: what is declared is what there is, and the documentation says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from servicekit.metric_names import (
    COMMON_METRICS,
    LATENCY_BUCKETS_S,
    RPC_CALLS,
    RPC_DURATION,
    RPC_IN_FLIGHT,
    MetricSpec,
)
from servicekit.telemetry import ServiceMetrics

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
LANES = MetricSpec("sample_lanes_total", "counter", "1", "Lanes", ("lane",))
SIZES = MetricSpec("sample_sizes", "histogram", "1", "Sizes", (), (1, 2, 4))


def test_samples_are_counted_under_their_labels() -> None:
    metrics = ServiceMetrics("sample", (LANES, SIZES), version="9.9")
    metrics.add(LANES, lane="a")
    metrics.add(LANES, 2, lane="b")
    metrics.record(SIZES, 3)
    assert metrics.value("sample_lanes_total", lane="a") == 1
    assert metrics.value("sample_lanes_total", lane="b") == 2
    assert metrics.value("sample_sizes_bucket", le="4.0") == 1
    assert metrics.value("sample_sizes_bucket", le="2.0") == 0
    assert metrics.value("service_version_info", service="sample", version="9.9") == 1


def test_gauges_are_read_when_scraped() -> None:
    metrics = ServiceMetrics("sample")
    level = [1.0]
    metrics.observe(RPC_IN_FLIGHT, lambda: level[0])
    level[0] = 7
    assert b"\nrpc_server_in_flight 7.0\n" in metrics.exposition()


def test_a_summary_has_a_sum_and_a_count() -> None:
    spec = MetricSpec("cosine", "summary", "1", "a mean", ("arm",))
    metrics = ServiceMetrics("sample", [spec])
    for value in (0.25, 0.5):
        metrics.summary(spec, arm="canary").observe(value)
    assert metrics.value("cosine_sum", arm="canary") == 0.75
    assert metrics.value("cosine_count", arm="canary") == 2
    with pytest.raises(TypeError, match="is a summary"):
        metrics.counter(spec, arm="canary")


def test_a_series_that_is_forgotten_is_scraped_no_more() -> None:
    spec = MetricSpec("target_serving", "gauge", "1", "a target", ("target",))
    metrics = ServiceMetrics("sample", [spec])
    for target in ("here", "gone"):
        metrics.observe(spec, lambda: 1.0, target=target)
    metrics.forget(spec, target="gone")
    metrics.forget(spec, target="never was")
    assert metrics.value("target_serving", target="gone") is None
    assert metrics.value("target_serving", target="here") == 1.0
    metrics.observe(spec, lambda: 0.0, target="gone")
    assert metrics.value("target_serving", target="gone") == 0.0


def test_two_processes_worth_of_metrics_do_not_mix() -> None:
    one, two = ServiceMetrics("one"), ServiceMetrics("two")
    one.add(RPC_CALLS, method="m", code="OK")
    assert two.value("rpc_server_calls_total", method="m", code="OK") is None


def test_what_was_not_declared_cannot_be_recorded() -> None:
    metrics = ServiceMetrics("sample")
    with pytest.raises(KeyError):
        metrics.add(LANES, lane="a")
    with pytest.raises(ValueError, match="takes the labels"):
        metrics.add(RPC_CALLS, code="OK", method="m")
    with pytest.raises(TypeError, match="not a histogram"):
        metrics.record(RPC_CALLS, 1, method="m", code="OK")
    with pytest.raises(TypeError, match="not a counter"):
        metrics.add(RPC_DURATION, 1, method="m")
    with pytest.raises(TypeError, match="not a gauge"):
        metrics.set(RPC_DURATION, 1, method="m")


def test_latency_buckets_are_few_and_stand_on_the_budgets() -> None:
    assert len(LATENCY_BUCKETS_S) + 1 <= 12
    assert {0.002, 0.008, 0.010, 0.020} <= set(LATENCY_BUCKETS_S)
    assert min(LATENCY_BUCKETS_S) == 0.00025


def test_a_scrape_has_no_creation_times() -> None:
    assert b"_created" not in ServiceMetrics("sample").exposition()


def documented_common_metrics() -> dict[str, tuple[str, str, str, str]]:
    section = DOCS.read_text().split("## Every server", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\S+) \| (.*?) \| (.+?) \|$", section, re.M)
    return {name: (kind, unit, labels, text) for name, kind, unit, labels, text in rows}


def test_the_documentation_lists_the_common_metrics() -> None:
    declared = {
        spec.name: (
            spec.kind,
            spec.unit,
            ", ".join(f"`{label}`" for label in spec.labels),
            spec.description,
        )
        for spec in COMMON_METRICS
    }
    assert documented_common_metrics() == declared
