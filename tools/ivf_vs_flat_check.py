#!/usr/bin/env python3
"""Hold an IVF index against FLAT: the share of FLAT's best k that it finds.

Exit status: 0 at least the threshold, 1 surely below it, 2 wrong usage or unusable input, 4 the
interval spans the threshold: ask more queries.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import errors_as_exits, exit_status, prepare_numerics
from evaluation.json_values import to_line, write_object

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def ivf_vs_flat_check(  # noqa: PLR0913, PLR0917 -- the options of a command
    flat: Annotated[Path, typer.Option(help="FLAT index: the truth.")],
    ivf: Annotated[Path, typer.Option(help="IVF index to hold against it, same rows.")],
    n: Annotated[int, typer.Option(help="Queries.", min=1)] = 100,
    k: Annotated[int, typer.Option(help="Depth of the comparison.", min=1, max=1000)] = 10,
    nprobe: Annotated[
        int, typer.Option(help="Lists to scan; 0 means the release's own, or 8 outside one.", min=0)
    ] = 0,
    threshold: Annotated[float, typer.Option(help="Least agreement.", min=0.0, max=1.0)] = 0.95,
    queries: Annotated[
        Path | None, typer.Option(help="NumPy file of query vectors [q, 768].")
    ] = None,
    query_set: Annotated[
        Path | None,
        typer.Option(help="Query set, encoded by the release's encoder. Default: passages."),
    ] = None,
    query_model: Annotated[
        str,
        typer.Option(
            help="How contexts of a query set become queries: amn_v0, gru_v0, recency, mean, last. "
            "Default: as the release is served."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed of the sample of passages.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File for the report as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare, and pass at 95 % agreement in the first ten."""
    with errors_as_exits():
        prepare_numerics()
        from evaluation.agreement import AgreementCheck, check_agreement
        from evaluation.index_files import check_same_rows, read_index
        from evaluation.query_sources import QuerySource, load_queries
        from evaluation.show_checks import show_agreement

        truth, approximation = read_index(flat), read_index(ivf)
        check_same_rows(truth, approximation)
        source = QuerySource(n, seed, queries, query_set, query_model)
        report = check_agreement(
            truth,
            approximation,
            load_queries(truth, source),
            AgreementCheck(k, nprobe, threshold),
        )
        if out is not None:
            write_object(out, report)
        if as_json:
            sys.stdout.write(to_line(report))
        else:
            show_agreement(report)
    raise typer.Exit(exit_status(report.gate.verdict))


if __name__ == "__main__":
    app()
