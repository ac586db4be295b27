"""The weekly report as tables for people."""

from __future__ import annotations

from evaluation.tables import figure, open_console, show_table, show_verdict
from operations.pairs import show_pairs
from operations.weekly import MEASURES, WeeklyReport


def show_weekly(report: WeeklyReport) -> None:
    """What was done, how well it finds and ranks, and how the index has aged."""
    console = open_console()
    index = report.index
    growth = "—" if index.growth_ratio is None else f"{index.growth_ratio:+.1%}"
    rows = [
        ["truth", f"{report.truth.out}: {report.truth.vector_count:,} vectors"],
        ["", f"{report.truth_verdict.value} against the release's own"],
        ["evaluation", f"{report.evaluation.file}, {report.evaluation.verdict.value}"],
        ["asked", report.evaluation.index],
        ["history", report.history],
        ["lists", f"{index.list_count}, {index.empty_list_count} of them empty"],
        ["", f"{index.smallest_list} to {index.largest_list}, median {index.median_list:g}"],
        ["largest over mean", figure(index.imbalance_ratio)],
        ["corpus since training", growth],
    ]
    show_pairs(console, f"weekly maintenance of {report.release_id}", rows)
    found = report.evaluation.measures
    measures = [
        [name, *(figure(values[measure]) for measure in MEASURES)] for name, values in found.items()
    ]
    show_table(console, "", ["query set", *MEASURES], measures)
    for note in index.notes:
        console.print(f"note: {note}", markup=False)
    show_verdict(console, report.verdict)
