#!/usr/bin/env python3
"""Compare rankings before and after rerank: lift of R@5, all measures, how often rank 1 changes.

Exit status: 0 passed, 1 failed, 2 wrong usage or unusable input, 4 an interval spans its limit.
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
def compare_rerank(  # noqa: PLR0913, PLR0917 -- the options of a command
    hits: Annotated[Path, typer.Option(help="Hits file before rerank.")],
    reranked: Annotated[Path, typer.Option(help="Hits file after it: same queries, candidates.")],
    min_lift_pp: Annotated[
        float,
        typer.Option(
            help="Rise of R@5 in pp that is wanted, but for questions: they may not lose beyond "
            "the interval."
        ),
    ] = 3.0,
    resamples: Annotated[int, typer.Option(help="Resamples of an interval.", min=100)] = 2000,
    out: Annotated[Path | None, typer.Option(help="File for the comparison as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare, task by task."""
    with errors_as_exits():
        from evaluation.comparing import compare_hits
        from evaluation.hits_files import read_hits
        from evaluation.show_checks import show_rerank_comparison

        comparison = compare_hits(
            read_hits(hits), read_hits(reranked), min_lift_pp, Bootstrap(resamples=resamples)
        )
        if out is not None:
            write_object(out, comparison)
        if as_json:
            sys.stdout.write(to_line(comparison))
        else:
            show_rerank_comparison(comparison)
    raise typer.Exit(exit_status(comparison.verdict))


if __name__ == "__main__":
    app()
