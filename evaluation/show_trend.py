"""Shows the history of nightly evaluations: table, bars, alerts, and the picture if wanted."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from evaluation.charts import MISSING_CHARTS, can_draw, draw_trend
from evaluation.history import HEADLINES, Alert, Trend, alerts_of, newest_of, trend_of
from evaluation.metrics_files import read_metrics, read_reports
from evaluation.quality_metrics import write_quality
from evaluation.tables import bars, open_console, show_table

_SHOWN_POINTS = 14


@dataclass(frozen=True, slots=True)
class HistoryFiles:
    """The history, and what is made of it.

    `chart` None stands for a picture beside the history, where matplotlib can draw it; `prom` None
    for no metrics; `baseline` is the report that drops are held against as well.
    """

    history: Path
    chart: Path | None = None
    prom: Path | None = None
    baseline: Path | None = None


def follow_trend(files: HistoryFiles, *, quiet: bool) -> list[Alert]:
    """Show the trend that the newest evaluation belongs to, and write what is made of it.

    Figures of other ways of asking are no trend: through services, or over a rebuilt truth.
    Alerts go to standard error and are returned.
    """
    reports = read_reports(files.history)
    baseline = None if files.baseline is None else read_metrics(files.baseline)
    trend = trend_of(reports, newest_of(reports).way)
    alerts = alerts_of(trend, baseline)
    for alert in alerts:
        sys.stderr.write(f"{alert.severity.value}: {alert.query_set}: {alert.text}\n")
    if files.prom is not None:
        write_quality(reports, baseline, files.prom)
    if not quiet:
        show_trend(trend, open_console())
    if can_draw():
        draw_trend(trend, files.chart or files.history.with_suffix(".png"))
    elif not quiet:
        sys.stderr.write(f"note: {MISSING_CHARTS}\n")
    return alerts


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
