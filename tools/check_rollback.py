#!/usr/bin/env python3
"""Check the running stack after a rollback: version, health and quality against a report.

The report is one of run_clean_eval.py, made while that release was served. Exit status: 0 as
before, 1 it is not, 2 wrong usage or unusable input, 3 no gateway reachable, 4 inconclusive.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import errors_as_exits, exit_status, now, prepare_numerics
from evaluation.json_values import to_line
from releases.catalog import DEFAULT_RELEASES_FOLDER

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def check_rollback(  # noqa: PLR0913, PLR0917 -- the options of a command
    baseline: Annotated[Path, typer.Option(help="Report of what was served before.")],
    releases: Annotated[
        Path, typer.Option(help="Folder of the releases.")
    ] = DEFAULT_RELEASES_FOLDER,
    query_set: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a query set; may be repeated. Default: as run_clean_eval.py."),
    ] = None,
    address: Annotated[
        str, typer.Option(help="Gateway to ask, HOST:PORT. Default: of the local stack.")
    ] = "",
    http: Annotated[
        list[str] | None,
        typer.Option(help="HTTP of a gateway, HOST:PORT; may be repeated. Default: all of them."),
    ] = None,
    run_folder: Annotated[Path, typer.Option(help="Where the local stack keeps its state.")] = Path(
        ".run"
    ),
    max_drop_pp: Annotated[
        float, typer.Option(help="Drop of R@5 in pp that still counts as before.", min=0.0)
    ] = 2.0,
    max_p95_ms: Annotated[
        float | None, typer.Option(help="P95 of the last requests that is good enough, in ms.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the new evaluation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask every gateway, then evaluate through one and compare."""
    with errors_as_exits():
        prepare_numerics()
        from evaluation.metrics_files import read_metrics
        from rollouts.checking import Compare, check_all
        from rollouts.rollback_check import make_rollback_report
        from rollouts.show import show_checks
        from rollouts.stack_addresses import find_gateways

        before = read_metrics(baseline)
        gateways = find_gateways(run_folder, [address] if address else [], http or [])
        compare = Compare(baseline, releases, query_set or [], max_drop_pp, out)
        report = make_rollback_report(
            before.release_id, check_all(before, gateways, compare, max_p95_ms, now())
        )
        if as_json:
            sys.stdout.write(to_line(report))
        else:
            show_checks(report)
    raise typer.Exit(exit_status(report.verdict))


if __name__ == "__main__":
    app()
