#!/usr/bin/env python3
"""Check that passage and query vectors have the norm 1 within 1e-5.

Without options: all indexes of the current release, and vectors that its encoder makes now.
Exit status: 0 all have, 1 some have not, 2 wrong usage or unusable input, 4 nothing to check.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import errors_as_exits, exit_status, prepare_numerics
from evaluation.json_values import to_line
from releases.catalog import DEFAULT_RELEASES_FOLDER, resolve_release

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def check_l2_norms(  # noqa: PLR0913, PLR0917 -- the options of a command
    release: Annotated[
        str | None, typer.Option(help="Release by name, pointer or folder; default: current.")
    ] = None,
    releases: Annotated[
        Path, typer.Option(help="Folder of the releases.")
    ] = DEFAULT_RELEASES_FOLDER,
    index: Annotated[
        list[Path] | None, typer.Option(help="FAISS index to check; may be repeated.")
    ] = None,
    vectors: Annotated[
        list[Path] | None,
        typer.Option(help="NumPy file of vectors (.npy, or .npz with `vectors`); repeatable."),
    ] = None,
    n_queries: Annotated[
        int, typer.Option(help="Texts of the release to encode as queries.", min=0)
    ] = 64,
    tolerance: Annotated[float, typer.Option(help="Limit of abs(norm - 1).")] = 1e-5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check the norms of every vector."""
    with errors_as_exits():
        prepare_numerics()
        from evaluation import norms
        from evaluation.encoder_norms import check_encoder_norms
        from evaluation.index_files import read_index
        from evaluation.show_checks import show_norms
        from releases.bundle import open_release

        reports = [
            norms.check_index_norms(read_index(path), path.name, tolerance) for path in index or []
        ]
        reports += [norms.check_array_norms(path, tolerance) for path in vectors or []]
        if release is not None or not reports:
            opened = open_release(resolve_release(release or "current", releases))
            reports += norms.check_release_norms(opened, tolerance)
            reports += check_encoder_norms(opened, n_queries, tolerance)
        verdict = norms.combined_verdict(reports)
        if as_json:
            sys.stdout.write(to_line({"verdict": verdict, "sources": reports}))
        else:
            show_norms(reports)
    raise typer.Exit(exit_status(verdict))


if __name__ == "__main__":
    app()
