#!/usr/bin/env python3
"""Compare two reports of run_clean_eval.py: go on, tune, hold or roll back.

The intervals are paired where both reports still have their hits files beside them. Exit status:
0 R@5 did not drop beyond the limit, 1 it surely did, 2 wrong usage or unusable input, 4 the
interval spans the limit.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import errors_as_exits, exit_status
from evaluation.intervals import Bootstrap
from evaluation.json_values import to_line, write_object

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def compare_metrics(  # noqa: PLR0913, PLR0917 -- the options of a command
    before: Annotated[Path, typer.Option(help="Report before the change.")],
    after: Annotated[Path, typer.Option(help="Report after it.")],
    max_drop_pp: Annotated[
        float, typer.Option(help="Drop of R@5 in pp that is still good.", min=0.0)
    ] = 2.0,
    resamples: Annotated[int, typer.Option(help="Resamples of an interval.", min=100)] = 2000,
    out: Annotated[Path | None, typer.Option(help="File for the comparison as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare, query set by query set."""
    with errors_as_exits():
        from evaluation import metric_changes
        from evaluation.metrics_files import read_metrics
        from evaluation.show_checks import show_metrics_comparison

        sides = [
            metric_changes.load_side(read_metrics(path), path.parent) for path in (before, after)
        ]
        comparison = metric_changes.compare_metrics(
            sides[0], sides[1], max_drop_pp, Bootstrap(resamples=resamples)
        )
        if out is not None:
            write_object(out, comparison)
        if as_json:
            sys.stdout.write(to_line(comparison))
        else:
            show_metrics_comparison(comparison)
    raise typer.Exit(exit_status(comparison.verdict))


if __name__ == "__main__":
    app()
