"""Shows the report of a clean evaluation on a terminal."""

from __future__ import annotations

from rich.console import Console

from evaluation.reports import LANE_MEASURES, Report, SetReport
from evaluation.tables import (
    measure_rows,
    open_console,
    show_gates,
    show_table,
    show_verdict,
    with_bounds,
)

_SHOWN_LANES = 12


def show_report(report: Report) -> None:
    """Measures, lanes and gates of every set, and the verdict."""
    console = open_console()
    subject = report.subject
    console.print(
        f"release {subject.release_id}, {subject.mode}, nprobe {subject.nprobe}, index "
        f"{subject.index}, trained on: {subject.training_record or 'not known'}",
        markup=False,
        highlight=False,
    )
    for each in report.query_sets:
        _show_set(console, each)
    show_gates(console, "whole evaluation", report.gates)
    show_verdict(console, report.verdict)


def _show_set(console: Console, report: SetReport) -> None:
    model = f", query model {report.query_model}" if report.query_model else ""
    title = (
        f"{report.name} ({report.task}): {report.query_count} queries of {report.article_count} "
        f"articles{model}; excluded from the candidates: {report.excluded}"
    )
    columns = ["", *report.stages, *(f"Δ {name}, pp" for name in report.differences)]
    console.print()
    show_table(console, title, columns, measure_rows(report.stages, report.differences))
    known = ", ".join(
        f"{name} {report.article_reference[name]:.3f}"
        for name in ("R@1", "R@5", "MRR@10", "Contain@50")
    )
    console.print(f"knowing the right article alone: {known}", markup=False, highlight=False)
    if report.rank1_change_ratio is not None:
        console.print(f"rank 1 changes for {report.rank1_change_ratio:.1%} of the queries\n")
    if len(report.lanes) > 1:
        _show_lanes(console, report)
    show_gates(console, f"gates of {report.name}", report.gates)


def _show_lanes(console: Console, report: SetReport) -> None:
    largest = sorted(report.lanes.items(), key=lambda lane: -lane[1].query_count)[:_SHOWN_LANES]
    rows = [
        [name, str(lane.query_count), *(with_bounds(lane.final[m]) for m in LANE_MEASURES)]
        for name, lane in largest
    ]
    title = f"lanes with most queries ({len(rows)} of {len(report.lanes)})"
    show_table(console, title, ["lane", "queries", *LANE_MEASURES], rows)
