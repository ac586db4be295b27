"""Shows the history of nightly evaluations: table, bars, alerts, and the picture if wanted."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from evaluation.charts import MISSING_CHARTS, can_draw, draw_trend
from evaluation.history import HEADLINES, Trend, alerts_of, read_trend
from evaluation.tables import bars, open_console, show_table

_SHOWN_POINTS = 14


def follow_trend(history: Path, mode: str, chart: Path | None, *, quiet: bool) -> None:
    """Show the trend of evaluations that were asked in the same way; alerts go to standard error.

    Without `chart` the picture stands beside the history, where matplotlib can draw it.
    """
    trend = read_trend(history, mode)
    for alert in alerts_of(trend):
        sys.stderr.write(f"{alert.severity.value}: {alert.query_set}: {alert.text}\n")
    if not quiet:
        show_trend(trend, open_console())
    if can_draw():
        draw_trend(trend, chart or history.with_suffix(".png"))
    elif not quiet:
        sys.stderr.write(f"note: {MISSING_CHARTS}\n")


def show_trend(trend: Trend, console: Console) -> None:
    """The last points of every set with mean and median of 7 days."""
    for name, points in trend.items():
        shown = points[-_SHOWN_POINTS:]
        rows = [
            [
                point.created,
                point.release_id,
                *(
                    f"{point.after[m]:.3f} ({point.average[m]:.3f}, {point.middle[m]:.3f})"
                    for m in HEADLINES
                ),
            ]
            for point in shown
        ]
        title = f"history of {name}: after rerank (mean, median of 7 days)"
        show_table(console, title, ["evaluated", "release", *HEADLINES], rows)
        for measure in HEADLINES:
            line = bars([point.after[measure] for point in points])
            console.print(f"{measure:>12} {line}", markup=False, highlight=False)
        console.print()
