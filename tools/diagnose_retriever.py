#!/usr/bin/env python3
"""Diagnose the retriever on one page: the likely cause first, then all that it was read from.

Exit status: 0 nothing is wrong, 1 something is, 2 wrong usage, 3 the gateway does not answer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_UNREACHABLE,
    errors_as_exits,
    prepare_numerics,
)
from evaluation.json_values import to_line
from operations.gateway_http import DEFAULT_GATEWAY
from releases.catalog import DEFAULT_RELEASES_FOLDER

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def diagnose_retriever(  # noqa: PLR0913, PLR0917 -- the options of a command
    gateway: Annotated[
        str, typer.Option(help="HOST:PORT of the gateway's HTTP.")
    ] = DEFAULT_GATEWAY,
    run_folder: Annotated[
        Path, typer.Option(help="Of the local stack: processes, logs, flags.")
    ] = Path(".run"),
    release: Annotated[
        str, typer.Option(help="The release that should be served: name, pointer or folder.")
    ] = "current",
    releases: Annotated[
        Path, typer.Option(help="Folder of the releases.")
    ] = DEFAULT_RELEASES_FOLDER,
    n_queries: Annotated[
        int, typer.Option(help="Passages to hold the index against exact search with.", min=1)
    ] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at the stack and its release, and say what is wrong with them."""
    with errors_as_exits():
        prepare_numerics()
        from operations.causes import find_causes
        from operations.observing import Place, observe

        seen = observe(Place(gateway, run_folder, release, releases, n_queries))
        causes = find_causes(seen)
    if as_json:
        sys.stdout.write(to_line({"causes": causes, "seen": seen}))
    else:
        from operations.show_diagnosis import show_diagnosis

        show_diagnosis(seen, causes)
    raise typer.Exit(EXIT_UNREACHABLE if seen.health_error else EXIT_FAILED if causes else EXIT_OK)


if __name__ == "__main__":
    app()
