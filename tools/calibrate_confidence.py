#!/usr/bin/env python3
"""From which best cosine on the gateway may count an answer as confident, by a hits file.

Exit status: 0 done, 2 wrong usage or unusable input.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import errors_as_exits
from evaluation.confidence import DEFAULT_SHARE, Confidence, calibrate
from evaluation.hits_files import read_hits
from evaluation.json_values import to_line

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

SETTINGS = {
    "question": "GATEWAY_CONFIDENT_COSINE",
    "next_passage": "GATEWAY_CONTEXT_CONFIDENT_COSINE",
}


@app.command()
def calibrate_confidence(
    hits: Annotated[Path, typer.Option(help="Hits file of the search, before the reranker.")],
    share: Annotated[
        float, typer.Option(help="Share of the right answers that reach the cosine.")
    ] = DEFAULT_SHARE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the threshold of every task, and what it tells apart."""
    with errors_as_exits():
        found = calibrate(read_hits(hits), share)
        if as_json:
            sys.stdout.write(to_line({"share": share, "tasks": [asdict(one) for one in found]}))
            return
        for one in found:
            print(line_of(one))


def line_of(one: Confidence) -> str:
    """One task for people."""
    name = SETTINGS.get(one.task, one.task or "all")
    return (
        f"{name}={one.cosine:.2f}   {100 * one.share_of_all:.0f} % of {one.query_count} queries "
        f"reach it; right among the first ten: {_percent(one.right_above)} of those, "
        f"{_percent(one.right_below)} of the others"
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


if __name__ == "__main__":
    app()
