"""Where the time went, as text: the waterfall of one request, and percentiles over many."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from retrieval_core.latency import LatencySummary, summarize_ms
from retrieval_core.timing import (
    DEFAULT_BUDGETS_NS,
    RETRIEVAL_STAGES,
    Stage,
    StageTiming,
    Timings,
    stage_totals_ns,
)

BAR_WIDTH = 32
_NAME_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Budgets:
    """The soft budgets of one request in nanoseconds: 8 ms, 2 ms and 10 ms by default."""

    retrieval_ns: int
    rerank_ns: int
    total_ns: int


@dataclass(frozen=True, slots=True)
class Span:
    """One bar of the waterfall: when it began within the request, and how long it took."""

    name: str
    start_ns: int
    elapsed_ns: int
    queued_ns: int
    budget_ns: int


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Draws one request. `client_elapsed_ns` is what the caller saw; 0 means unknown."""

    timings: Timings
    client_elapsed_ns: int = 0

    def lines(self) -> list[str]:
        """The drawing, one text line a list item, no colour."""
        scale_ns = max(self.timings.total_ns, self.client_elapsed_ns, 1)
        return [
            f"{'stage':<{_NAME_WIDTH}} {'':<{BAR_WIDTH}} {'ms':>8} {'queued':>8} {'budget':>8}",
            *(_span_line(span, scale_ns) for span in spans_of(self.timings)),
            *self._closing_lines(scale_ns),
            *verdict_lines(self.timings),
        ]

    def _closing_lines(self, scale_ns: int) -> Iterator[str]:
        total_ns = self.timings.total_ns
        rest_ns = self.timings.unaccounted_ns
        yield _span_line(Span("unaccounted", total_ns - rest_ns, rest_ns, 0, 0), scale_ns)
        yield _span_line(
            Span("total (gateway)", 0, total_ns, 0, budgets_of(self.timings).total_ns), scale_ns
        )
        if self.client_elapsed_ns:
            outside_ns = max(0, self.client_elapsed_ns - total_ns)
            yield _span_line(Span("network and client", total_ns, outside_ns, 0, 0), scale_ns)


def spans_of(timings: Timings) -> list[Span]:
    """Bars in the order of the stages; entries of one stage start together."""
    start_ns = 0
    spans = []
    for stage, total_ns in stage_totals_ns(timings.stages).items():
        spans += [
            _stage_span(timing, start_ns) for timing in timings.stages if timing.stage is stage
        ]
        start_ns += total_ns
    return spans


def _stage_span(timing: StageTiming, start_ns: int) -> Span:
    return Span(
        f"{timing.stage.value} {timing.target}",
        start_ns,
        timing.elapsed_ns,
        timing.queued_ns,
        timing.budget_ns,
    )


def budgets_of(timings: Timings) -> Budgets:
    """Budgets as the answer states them; the default stands in for a stage that did not run."""
    stated = {timing.stage: timing.budget_ns for timing in timings.stages if timing.budget_ns}
    budgets = {**DEFAULT_BUDGETS_NS, **stated}
    retrieval_ns = sum(budgets[stage] for stage in RETRIEVAL_STAGES)
    rerank_ns = budgets[Stage.RERANK]
    return Budgets(retrieval_ns, rerank_ns, retrieval_ns + rerank_ns)


def verdict_lines(timings: Timings) -> list[str]:
    """Retrieval and rerank against their budgets, one line each."""
    budgets = budgets_of(timings)
    rerank_ns = stage_totals_ns(timings.stages).get(Stage.RERANK)
    lines = [_verdict("retrieval", timings.retrieval_ns, budgets.retrieval_ns)]
    if rerank_ns is None:
        lines.append("rerank     did not run")
    else:
        lines.append(_verdict("rerank", rerank_ns, budgets.rerank_ns))
    return lines


def _verdict(name: str, elapsed_ns: int, budget_ns: int) -> str:
    within = "within" if elapsed_ns <= budget_ns else "OVER"
    return f"{name:<10} {elapsed_ns / 1e6:.2f} ms, {within} its {budget_ns / 1e6:g} ms"


def _span_line(span: Span, scale_ns: int) -> str:
    queued = f"{span.queued_ns / 1e6:8.2f}" if span.queued_ns else " " * 8
    budget = f"{span.budget_ns / 1e6:8g}" if span.budget_ns else " " * 8
    return (
        f"{span.name[:_NAME_WIDTH]:<{_NAME_WIDTH}} {_bar(span, scale_ns)} "
        f"{span.elapsed_ns / 1e6:8.2f} {queued} {budget}"
    ).rstrip()


def _bar(span: Span, scale_ns: int) -> str:
    first = min(BAR_WIDTH - 1, round(BAR_WIDTH * span.start_ns / scale_ns))
    length = max(1, round(BAR_WIDTH * span.elapsed_ns / scale_ns)) if span.elapsed_ns else 0
    length = min(length, BAR_WIDTH - first)
    return "." * first + "█" * length + "." * (BAR_WIDTH - first - length)


def samples_by_part_ms(requests: Iterable[tuple[Timings, int]]) -> dict[str, list[float]]:
    """Milliseconds of every part over many requests, in the order they ran.

    requests: the gateway's timings and the elapsed nanoseconds the caller saw (0: unknown).
    Parts: each stage that ran, `retrieval`, `unaccounted`, `total`, `client`. A stage has one
    sample for each request in which it ran.
    """
    parts: dict[str, list[float]] = {stage.value: [] for stage in Stage}
    del parts[Stage.TOTAL.value]
    parts |= {"retrieval": [], "unaccounted": [], "total": [], "client": []}
    for timings, client_elapsed_ns in requests:
        for name, elapsed_ns in _parts_ns(timings, client_elapsed_ns).items():
            parts[name].append(elapsed_ns / 1e6)
    return {name: samples for name, samples in parts.items() if samples}


def _parts_ns(timings: Timings, client_elapsed_ns: int) -> dict[str, int]:
    parts = {stage.value: ns for stage, ns in stage_totals_ns(timings.stages).items()}
    parts["retrieval"] = timings.retrieval_ns
    parts["unaccounted"] = timings.unaccounted_ns
    parts["total"] = timings.total_ns
    if client_elapsed_ns:
        parts["client"] = client_elapsed_ns
    return parts


def part_budgets_ms(requests: Iterable[tuple[Timings, int]]) -> dict[str, float]:
    """Budget of every part in milliseconds, by the last request; parts without one are absent."""
    last: Timings | None = None
    for timings, _ in requests:
        last = timings
    if last is None:
        return {}
    budgets = budgets_of(last)
    stages = {timing.stage.value: timing.budget_ns / 1e6 for timing in last.stages}
    return {**stages, "retrieval": budgets.retrieval_ns / 1e6, "total": budgets.total_ns / 1e6}


def percentile_lines(
    samples_ms: Mapping[str, Sequence[float]], budgets_ms: Mapping[str, float]
) -> list[str]:
    """A table of P50, P95 and P99 a part, with its budget; `!` marks a P95 above it."""
    header = f"{'part':<12} {'count':>7} {'P50 ms':>8} {'P95 ms':>8} {'P99 ms':>8} {'budget':>8}"
    rows = [
        _percentile_line(name, summary, budgets_ms.get(name, 0.0))
        for name, samples in samples_ms.items()
        if (summary := summarize_ms(samples)) is not None
    ]
    return [header, *rows] if rows else ["no calls yet"]


def _percentile_line(name: str, summary: LatencySummary, budget_ms: float) -> str:
    budget = f"{budget_ms:8g}" if budget_ms else " " * 8
    mark = " !" if budget_ms and summary.p95_ms > budget_ms else ""
    return (
        f"{name:<12} {summary.count:>7} {summary.p50_ms:8.2f} {summary.p95_ms:8.2f} "
        f"{summary.p99_ms:8.2f} {budget}{mark}"
    ).rstrip()


def write_lines(lines: Iterable[str], file: TextIO | None = None) -> None:
    """Write each line and a newline; to standard output when no file is given."""
    stream = file or sys.stdout
    stream.write("".join(f"{line}\n" for line in lines))
