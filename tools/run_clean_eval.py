#!/usr/bin/env python3
"""Evaluate a release on articles that nothing was trained on, and apply the ship gate.

Exit status: 0 passed, 1 failed, 2 wrong usage or unusable input (also: an evaluation that shares
an article or a text with training), 3 no server reachable, 4 inconclusive.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.arms import Arm
from evaluation.commands import (
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


@app.command()
def run_clean_eval(  # noqa: PLR0913, PLR0917 -- the options of a command
    out: Annotated[
        Path | None, typer.Option(help="File for the report: one JSON object on one line.")
    ] = None,
    release: Annotated[
        str, typer.Option(help="Release by name, pointer or folder; with --address the one served.")
    ] = "current",
    releases: Annotated[
        Path, typer.Option(help="Folder of the releases.")
    ] = DEFAULT_RELEASES_FOLDER,
    query_set: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a query set; may be repeated. Default: those under "
            "artifacts/eval/querysets that were made for this corpus, or else made of its passages."
        ),
    ] = None,
    training_record: Annotated[
        Path | None,
        typer.Option(
            help="Folder that says what was trained on; default: "
            "artifacts/eval/training_record. Without one the verdict is INCONCLUSIVE at best."
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="Search this index file, e.g. a rebuilt FLAT truth, not the release's."),
    ] = None,
    nprobe: Annotated[
        int, typer.Option(help="Lists that a search scans; 0 means the release's own.", min=0)
    ] = 0,
    query_model: Annotated[
        str,
        typer.Option(
            help="How contexts become queries: amn_v0, gru_v0, recency, mean, last. Default: as "
            "the release is served."
        ),
    ] = "",
    rerank: Annotated[bool, typer.Option("--rerank/--no-rerank", help="Rerank as well.")] = True,
    address: Annotated[
        str | None, typer.Option(help="Ask this gateway (HOST:PORT) end to end.")
    ] = None,
    arm: Annotated[
        Arm, typer.Option(help="Arm of the gateway to ask with --address; --release is its own.")
    ] = Arm.BASELINE,
    concurrency: Annotated[
        int, typer.Option(help="Queries asked at once with --address.", min=1, max=64)
    ] = 2,
    timeout_ms: Annotated[float, typer.Option(help="Deadline of a request.")] = 5000.0,
    hits: Annotated[
        Path | None,
        typer.Option(
            help="Where hits files begin: HITS_baseline.jsonl, HITS_reranked.jsonl. Default: "
            "beside --out, named after it."
        ),
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="Append the report to this file and show the trend.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="PNG of the trend; needs --history and matplotlib.")
    ] = None,
    resamples: Annotated[int, typer.Option(help="Resamples of an interval.", min=100)] = 2000,
    threads: Annotated[int, typer.Option(help="Threads that encode.", min=1)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Evaluate, write the report, apply the ship gate."""
    with errors_as_exits():
        if chart is not None and history is None:
            raise typer.BadParameter("--chart shows a trend and needs --history")
        require_charts(chart)
        prepare_numerics()
        # Loading FAISS, Arrow and ONNX Runtime takes longer than finding out that usage is wrong.
        from evaluation.clean import Service
        from evaluation.in_process import Options
        from evaluation.running import RunRequest, run_evaluation

        report = run_evaluation(
            RunRequest(
                created=now(),
                release=release,
                releases=releases,
                query_sets=query_set or [],
                training_record=training_record,
                options=Options(nprobe, index, query_model, rerank, threads),
                service=None
                if address is None
                else Service(address, timeout_ms=timeout_ms, concurrency=concurrency, arm=arm),
                out=out,
                hits=hits,
                bootstrap=Bootstrap(resamples=resamples),
            )
        )
        if as_json:
            sys.stdout.write(to_line(report))
        else:
            from evaluation.show_evaluation import show_report

            show_report(report)
        if history is not None:
            from evaluation.history import append_report
            from evaluation.show_trend import HistoryFiles, follow_trend

            append_report(report, history)
            follow_trend(HistoryFiles(history, chart), quiet=as_json)
    raise typer.Exit(exit_status(report.verdict))


if __name__ == "__main__":
    app()
