#!/usr/bin/env python3
"""A/B the reranker on a slice of queries through a gateway: lift, added time, lift per millisecond.

Exit status: 0 passed (the lift that is owed, within the time), 1 failed, 2 wrong usage or unusable
input, 3 no server reachable, 4 inconclusive.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import errors_as_exits, exit_status, now, prepare_numerics
from evaluation.intervals import Bootstrap
from evaluation.json_values import to_line, write_object
from releases.catalog import DEFAULT_RELEASES_FOLDER
from retrieval_client import DEFAULT_TARGET

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def ab_reranker(  # noqa: PLR0913, PLR0917 -- the options of a command
    address: Annotated[str, typer.Option(help="Gateway as HOST:PORT.")] = DEFAULT_TARGET,
    n: Annotated[int, typer.Option(help="Queries of each set, spread over it.", min=1)] = 300,
    release: Annotated[
        str, typer.Option(help="The release that is served, by name, pointer or folder.")
    ] = "current",
    releases: Annotated[
        Path, typer.Option(help="Folder of the releases.")
    ] = DEFAULT_RELEASES_FOLDER,
    query_set: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a query set; may be repeated. Default: as run_clean_eval."),
    ] = None,
    by_arms: Annotated[
        bool,
        typer.Option(
            "--by-arms",
            help="Compare the gateway's arms, the canary with RERANKER off, instead of asking one "
            "arm with and without.",
        ),
    ] = False,
    timeout_ms: Annotated[float, typer.Option(help="Deadline of a request.")] = 5000.0,
    resamples: Annotated[int, typer.Option(help="Resamples of an interval.", min=100)] = 2000,
    out: Annotated[Path | None, typer.Option(help="File for the report as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask with and without rerank in turns, and weigh the lift against the time."""
    with errors_as_exits():
        prepare_numerics()
        from evaluation.ab_running import AbRequest, run_ab
        from evaluation.show_ab import show_reranker_ab

        found = run_ab(
            AbRequest(
                created=now(),
                address=address,
                count=n,
                release=release,
                releases=releases,
                query_sets=query_set or [],
                timeout_ms=timeout_ms,
                by_arms=by_arms,
                bootstrap=Bootstrap(resamples=resamples),
            )
        )
        if out is not None:
            write_object(out, found)
        if as_json:
            sys.stdout.write(to_line(found))
        else:
            show_reranker_ab(found)
    raise typer.Exit(exit_status(found.verdict))


if __name__ == "__main__":
    app()
