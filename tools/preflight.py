#!/usr/bin/env python3
"""Preflight: every box of the go-live checklist that a machine can tick.

Exit status: 0 all passed, 1 something failed, 2 wrong usage, 3 the gateway does not answer (and
nothing failed), 4 something could not be told. What could not be measured is never a pass.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import errors_as_exits, prepare_numerics
from evaluation.json_values import to_line
from operations.gateway_http import DEFAULT_GATEWAY
from releases.catalog import DEFAULT_RELEASES_FOLDER
from servicekit.flag_file import DEFAULT_FLAGS_FILE

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def preflight(  # noqa: PLR0913, PLR0917 -- the options of a command
    release: Annotated[str, typer.Option(help="The release to ship.")] = "current",
    releases: Annotated[
        Path, typer.Option(help="Folder of the releases.")
    ] = DEFAULT_RELEASES_FOLDER,
    gateway: Annotated[
        str, typer.Option(help="HOST:PORT of the gateway's HTTP.")
    ] = DEFAULT_GATEWAY,
    tag: Annotated[str, typer.Option(help="Git tag of what is shipped.")] = "v0-retriever",
    encoder: Annotated[
        str, typer.Option(help="Name that the encoder is pinned to; default: the release's own.")
    ] = "",
    nprobe: Annotated[
        int, typer.Option(help="Pinned nprobe; 0 is the release's operating point.", min=0)
    ] = 0,
    retriever_impl: Annotated[str, typer.Option(help="Pinned query model.")] = "amn_v0",
    hits: Annotated[Path, typer.Option(help="Hits before rerank.")] = Path(
        "artifacts/eval/hits50_baseline.jsonl"
    ),
    reranked: Annotated[Path, typer.Option(help="Hits after it.")] = Path(
        "artifacts/eval/hits50_reranked.jsonl"
    ),
    metrics: Annotated[Path, typer.Option(help="Clean evaluation of the release.")] = Path(
        "artifacts/eval/metrics.json"
    ),
    rules: Annotated[Path, typer.Option(help="Folder of the alerting rules.")] = Path(
        "deploy/prometheus"
    ),
    rehearsals: Annotated[Path, typer.Option(help="Folder of the records of rehearsals.")] = Path(
        "artifacts/rehearsals"
    ),
    most_age_days: Annotated[
        float, typer.Option(help="A rehearsal may be this old.", min=0.0)
    ] = 7.0,
    only: Annotated[list[str] | None, typer.Option(help="Run this check; repeatable.")] = None,
    rehearse_kill_switch: Annotated[
        bool,
        typer.Option(
            "--rehearse-kill-switch", help="First flip the kill switch of the gateway and back."
        ),
    ] = False,
    flags_file: Annotated[
        Path, typer.Option(help="The flags file that the gateway watches.")
    ] = DEFAULT_FLAGS_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check everything, and say for each what was found, what is wanted, and what to do."""
    with errors_as_exits():
        prepare_numerics()
        from operations.findings import exit_status_of, overall
        from operations.kill_switch import rehearse_kill_switch as rehearse
        from operations.preflight import run_preflight
        from operations.preflight_subject import Paths, Pins, PreflightSubject

        now = dt.datetime.now(dt.UTC)
        if rehearse_kill_switch:
            rehearse(gateway, flags_file, rehearsals, now)
        paths = Paths(releases, hits, reranked, metrics, rehearsals, rules)
        pins = Pins(encoder, nprobe, retriever_impl)
        subject = PreflightSubject(now, release, gateway, tag, most_age_days, paths, pins)
        results = run_preflight(subject, only or ())
    if as_json:
        verdict = overall(results)
        sys.stdout.write(to_line({"release": release, "verdict": verdict, "checks": results}))
    else:
        from operations.show_checks import show_checks

        show_checks(f"preflight of {release}", results)
    raise typer.Exit(exit_status_of(results))


if __name__ == "__main__":
    app()
