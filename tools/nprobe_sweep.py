#!/usr/bin/env python3
"""Try several nprobe, and pick the smallest whose recall and time are good enough.

Exit status: 0 one passes, 1 none does, 2 wrong usage or unusable input, 4 none passes but some
cannot be told from passing: ask more queries.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import (
    errors_as_exits,
    exit_status,
    now,
    prepare_numerics,
    require_charts,
)
from evaluation.json_values import to_line, write_object
from retrieval_core.errors import InvalidInput

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def nprobe_sweep(  # noqa: PLR0913, PLR0917 -- the options of a command
    index: Annotated[Path, typer.Option(help="IVF index to tune.")],
    flat: Annotated[Path, typer.Option(help="FLAT index of the same rows: the truth.")],
    nprobe_values: Annotated[
        str, typer.Option(help="Values to try, with commas.")
    ] = "4,8,12,16,24,32,48,64,96,128,192,256",
    n_queries: Annotated[int, typer.Option(help="Queries.", min=1)] = 500,
    out: Annotated[Path | None, typer.Option(help="File for the sweep as JSON.")] = None,
    chart: Annotated[
        Path | None,
        typer.Option(help="PNG of the curve; default: beside --out where matplotlib is there."),
    ] = None,
    most_loss_pp: Annotated[
        float, typer.Option(help="R@10 that may be lost against FLAT, in pp.", min=0.0)
    ] = 0.5,
    target_ms: Annotated[float, typer.Option(help="P95 of one search in ms.", min=0.001)] = 8.0,
    min_agreement: Annotated[
        float,
        typer.Option(
            help="Least agreement with FLAT in the first ten, as the ship gate asks; 0: none.",
            min=0.0,
            max=1.0,
        ),
    ] = 0.95,
    queries: Annotated[
        Path | None, typer.Option(help="NumPy file of query vectors [q, 768].")
    ] = None,
    query_set: Annotated[
        Path | None,
        typer.Option(
            help="Query set, encoded by the release's encoder; R@10 is then that of its passages. "
            "Default: passages, and R@10 is whether FLAT's first is found."
        ),
    ] = None,
    query_model: Annotated[
        str,
        typer.Option(
            help="How contexts of a query set become queries: amn_v0, gru_v0, recency, mean, last. "
            "Default: as the release is served."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed of sample and order.")] = 0,
    write_point: Annotated[
        bool,
        typer.Option(
            "--write-operating-point",
            help="Write the pick beside the release, only when the verdict is PASS.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Sweep, draw the curve, pick the operating point."""
    with errors_as_exits():
        require_charts(chart)
        nprobes = parse_nprobes(nprobe_values)
        prepare_numerics()
        from evaluation.charts import MISSING_CHARTS, can_draw, draw_sweep
        from evaluation.index_files import check_same_rows, read_index
        from evaluation.operating_points import record_operating_point
        from evaluation.query_sources import QuerySource, load_queries
        from evaluation.show_checks import show_sweep
        from evaluation.sweep import SweepPlan, sweep_nprobe

        ivf, truth = read_index(index), read_index(flat)
        check_same_rows(truth, ivf)
        if write_point and ivf.release is None:
            raise InvalidInput("--write-operating-point", f"{index} lies in no release")
        asked = load_queries(truth, QuerySource(n_queries, seed, queries, query_set, query_model))
        plan = SweepPlan(nprobes, most_loss_pp, target_ms, min_agreement, seed)
        sweep = sweep_nprobe(truth, ivf, asked, plan)
        if out is not None:
            write_object(out, sweep)
        picture = chart or (out.with_suffix(".png") if out is not None else None)
        if picture is not None and can_draw():
            draw_sweep(sweep, picture)
        elif picture is not None:
            sys.stderr.write(f"note: {MISSING_CHARTS}\n")
        if as_json:
            sys.stdout.write(to_line(sweep))
        else:
            show_sweep(sweep)
        if write_point and ivf.release is not None:
            written = record_operating_point(ivf.release, sweep, now())
            sys.stderr.write(f"operating point: {written or 'not written, see the verdict'}\n")
    raise typer.Exit(exit_status(sweep.verdict))


def parse_nprobes(text: str) -> list[int]:
    """The values between the commas; InvalidInput unless all are whole and at least 1."""
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < 1:
        raise InvalidInput("--nprobe-values", f"is {text!r}, must be numbers like 4,8,12,16")
    return values


if __name__ == "__main__":
    app()
