#!/usr/bin/env python3
"""The nightly evaluation: evaluate, append to the history, draw the trend, write metrics, alert.

Exit status: 0 passed, 1 failed or a critical drop, 2 wrong usage or unusable input, 3 no server
reachable, 4 inconclusive.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import (
    EXIT_FAILED,
    errors_as_exits,
    exit_status,
    now,
    prepare_numerics,
    require_charts,
)
from evaluation.intervals import Bootstrap
from evaluation.json_values import to_line
from releases.catalog import DEFAULT_RELEASES_FOLDER

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

FOLDER = Path("artifacts/eval")
BASELINE = FOLDER / "baseline_metrics.json"


@app.command()
def nightly_eval(  # noqa: PLR0913, PLR0917 -- the options of a command
    out: Annotated[
        Path | None,
        typer.Option(help="File for the report; default: artifacts/eval/nightly_YYYYMMDD.json."),
    ] = None,
    history: Annotated[
        Path, typer.Option(help="File that the report is appended to, JSON lines.")
    ] = FOLDER / "history.jsonl",
    chart: Annotated[
        Path | None,
        typer.Option(help="PNG of the trend; default: beside the history, with matplotlib."),
    ] = None,
    prom: Annotated[
        Path, typer.Option(help="Metrics for Prometheus, replaced in one step.")
    ] = FOLDER / "quality.prom",
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="Report that drops are held against as well; default: "
            "artifacts/eval/baseline_metrics.json, if there."
        ),
    ] = None,
    release: Annotated[
        str, typer.Option(help="Release by name, pointer or folder; with --address the one served.")
    ] = "current",
    releases: Annotated[
        Path, typer.Option(help="Folder of the releases.")
    ] = DEFAULT_RELEASES_FOLDER,
    query_set: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a query set; may be repeated. Default: as run_clean_eval."),
    ] = None,
    training_record: Annotated[
        Path | None, typer.Option(help="What was trained on; default: as run_clean_eval.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ask this gateway (HOST:PORT) end to end.")
    ] = None,
    resamples: Annotated[int, typer.Option(help="Resamples of an interval.", min=100)] = 2000,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print verdict, alerts and files as one JSON object.")
    ] = False,
) -> None:
    """Evaluate what is current, and say how it compares with the nights before."""
    with errors_as_exits():
        require_charts(chart)
        prepare_numerics()
        from evaluation.clean import Service
        from evaluation.history import Severity, append_report
        from evaluation.running import RunRequest, run_evaluation
        from evaluation.show_evaluation import show_report
        from evaluation.show_trend import HistoryFiles, follow_trend

        known = baseline or (BASELINE if BASELINE.is_file() else None)
        files = HistoryFiles(history, chart, prom, known)
        written = out or FOLDER / f"nightly_{dt.datetime.now(dt.UTC):%Y%m%d}.json"
        report = run_evaluation(
            RunRequest(
                created=now(),
                release=release,
                releases=releases,
                query_sets=query_set or [],
                training_record=training_record,
                service=None if address is None else Service(address, concurrency=2),
                out=written,
                bootstrap=Bootstrap(resamples=resamples),
            )
        )
        if not as_json:
            show_report(report)
        append_report(report, history)
        alerts = follow_trend(files, quiet=as_json)
        if as_json:
            summary = {"verdict": report.verdict, "alerts": alerts, "out": str(written)}
            sys.stdout.write(to_line({**summary, "history": str(history), "prom": str(prom)}))
    is_critical = any(alert.severity is Severity.CRITICAL for alert in alerts)
    raise typer.Exit(EXIT_FAILED if is_critical else exit_status(report.verdict))


if __name__ == "__main__":
    app()
