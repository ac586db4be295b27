#!/usr/bin/env python3
"""Rebuild the FLAT truth: an exact index of a corpus's vectors, in the order of its rows.

Exit status: 0 written (and equal to the release's own truth, where it is of a release), 1 it
differs from that, or any other failure, 2 wrong usage or unusable input.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import EXIT_FAILED, EXIT_OK, errors_as_exits, prepare_numerics
from evaluation.json_values import to_line
from releases.catalog import DEFAULT_RELEASES_FOLDER, resolve_release

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

VECTOR_SUFFIXES = (".npz", ".npy")


@app.command()
def rebuild_flat_truth(
    corpus: Annotated[
        str,
        typer.Option(
            help="Vectors: a .npz with `vectors` [n, 768], a .npy, or a release (name, pointer, "
            "folder), of which the served index is read."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Index file to write; OUT.json seals it.")],
    releases: Annotated[
        Path, typer.Option(help="Folder of the releases.")
    ] = DEFAULT_RELEASES_FOLDER,
    export: Annotated[
        Path | None,
        typer.Option(help="Also write the vectors and passage ids of the release as .npz."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Build, write, read back and compare."""
    with errors_as_exits():
        prepare_numerics()
        from evaluation import flat_files
        from evaluation.show_checks import show_flat_truth
        from releases.bundle import open_release

        if corpus.endswith(VECTOR_SUFFIXES):
            if export is not None:
                raise typer.BadParameter("--export needs a release as --corpus")
            vectors = flat_files.corpus_vectors(Path(corpus))
            report = flat_files.rebuild_flat(vectors, Path(corpus).name, out)
        else:
            release = open_release(resolve_release(corpus, releases))
            vectors = flat_files.release_vectors(release)
            report = flat_files.rebuild_flat(vectors, release.release_id, out, release)
            if export is not None:
                flat_files.export_vectors(release, export)
        if as_json:
            sys.stdout.write(to_line(report))
        else:
            show_flat_truth(report)
    raise typer.Exit(EXIT_FAILED if report.matches_release is False else EXIT_OK)


if __name__ == "__main__":
    app()
