#!/usr/bin/env python3
"""Weekly maintenance: FLAT truth rebuilt, evaluation, history appended, health of the index.

Exit status: 0 all is well, 1 something failed (truth, evaluation, a corpus that outgrew its index),
2 wrong usage or unusable input, 4 inconclusive.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import errors_as_exits, exit_status, prepare_numerics
from evaluation.intervals import Bootstrap
from evaluation.json_values import to_line
from releases.catalog import DEFAULT_RELEASES_FOLDER

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def weekly_maintenance(  # noqa: PLR0913, PLR0917 -- the options of a command
    release: Annotated[str, typer.Option(help="Release by name, pointer or folder.")] = "current",
    releases: Annotated[
        Path, typer.Option(help="Folder of the releases.")
    ] = DEFAULT_RELEASES_FOLDER,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Vectors of the corpus as it is now; default: artifacts/corpus/current.npz."
        ),
    ] = None,
    truths: Annotated[Path, typer.Option(help="Folder of the rebuilt truths.")] = Path(
        "artifacts/faiss"
    ),
    evaluations: Annotated[
        Path, typer.Option(help="Folder of evaluations and of their history.")
    ] = Path("artifacts/eval"),
    query_set: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a query set; may be repeated. Default: as run_clean_eval."),
    ] = None,
    training_record: Annotated[
        Path | None, typer.Option(help="What was trained on; default: as run_clean_eval.")
    ] = None,
    resamples: Annotated[int, typer.Option(help="Resamples of an interval.", min=100)] = 2000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Do the week's chores and say what they found."""
    with errors_as_exits():
        prepare_numerics()
        from operations.weekly import WeeklyRequest, run_weekly

        report = run_weekly(
            WeeklyRequest(
                now=dt.datetime.now(dt.UTC),
                release=release,
                releases=releases,
                corpus=corpus,
                truths=truths,
                evaluations=evaluations,
                query_sets=query_set or (),
                training_record=training_record,
                bootstrap=Bootstrap(resamples=resamples),
            )
        )
    if as_json:
        sys.stdout.write(to_line(report))
    else:
        from operations.show_weekly import show_weekly

        show_weekly(report)
    raise typer.Exit(exit_status(report.verdict))


if __name__ == "__main__":
    app()
