"""The result as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.load.samples import OK
from benchmarks.load.summary import PhaseSummary
from retrieval_core.latency import LatencySummary

FORMAT = "retrieval-load-benchmark/1"


def json_object(
    phases: Sequence[PhaseSummary], origin: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything, with durations in the unit that each name ends with."""
    return {
        "format": FORMAT,
        **origin,
        "settings": dict(settings),
        "phases": [{**asdict(phase), "error_count": phase.error_count} for phase in phases],
    }


def table_lines(phases: Sequence[PhaseSummary]) -> list[str]:
    """All phases one after another, for people."""
    return [line for phase in phases for line in (*phase_lines(phase), "")]


def phase_lines(phase: PhaseSummary) -> list[str]:
    """One phase: percentiles, then what was not as it should be, then the processes."""
    return [
        _title(phase),
        f"  {'part':<16} {'count':>7} {'P50 ms':>8} {'P95 ms':>8} {'P99 ms':>8} {'budget':>8}",
        *(
            _latency_line(name, summary, phase.budgets_ms.get(name, 0.0))
            for name, summary in phase.latency_ms.items()
        ),
        *_trouble_lines(phase),
        *_process_lines(phase),
    ]


def _title(phase: PhaseSummary) -> str:
    offered = "" if phase.offered_per_s is None else f", {phase.offered_per_s:g}/s offered"
    return (
        f"{phase.name}: {phase.request_count} requests in {phase.duration_s:.1f} s{offered}, "
        f"{phase.throughput_per_s:.1f}/s answered, {phase.error_count} errors"
    )


def _latency_line(name: str, summary: LatencySummary, budget_ms: float) -> str:
    budget = f"{budget_ms:8g}" if budget_ms else ""
    mark = " over" if budget_ms and summary.p95_ms > budget_ms else ""
    return (
        f"  {name:<16} {summary.count:>7} {summary.p50_ms:8.2f} {summary.p95_ms:8.2f} "
        f"{summary.p99_ms:8.2f} {budget}{mark}"
    ).rstrip()


def _trouble_lines(phase: PhaseSummary) -> list[str]:
    errors = {name: count for name, count in phase.outcomes.items() if name != OK}
    partial = {name: count for name, count in phase.coverage.items() if name != "1"}
    return [
        *_count_lines("errors", errors),
        *_count_lines("coverage", partial),
        *_count_lines("degraded", phase.degradations),
    ]


def _count_lines(title: str, counts: Mapping[str, int]) -> list[str]:
    return [f"  {title}: {name} x {count}" for name, count in counts.items()]


def _process_lines(phase: PhaseSummary) -> list[str]:
    generator_ms = 1000 * phase.generator_cpu_s / max(1, phase.request_count)
    rows = [
        f"  {usage.name:<16} {usage.cpu_s:7.2f} s CPU "
        f"{1000 * usage.cpu_s / max(1, phase.request_count):7.2f} ms/request "
        f"{usage.peak_bytes / 1e6:7.0f} MB" + ("" if usage.alive else "  (ended)")
        for usage in phase.processes
    ]
    generator = (
        f"  {'(generator)':<16} {phase.generator_cpu_s:7.2f} s CPU {generator_ms:7.2f} ms/request"
    )
    return [*rows, generator]
