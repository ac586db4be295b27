"""The launcher's commands about releases side by side: canary, drop-canary, switch, rollback."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.console import RunFolder, StartTimeout, errors_shown, show_progress
from deploy.local.releases import layout_of_release
from deploy.local.rollback import DEFAULT_RECORD, RollBack, RollBackRecord
from deploy.local.stack import DEFAULT_FOLDER, START_TIMEOUT_S, LocalStack
from deploy.local.state import StackState
from deploy.local.switching import Switching
from releases.catalog import DEFAULT_RELEASES_FOLDER

Release = Annotated[str, typer.Option(help="Name of a release, `current`, or its folder.")]
Releases = Annotated[Path, typer.Option(help="Folder of the releases.")]


def canary(
    release: Release,
    releases: Releases = DEFAULT_RELEASES_FOLDER,
    start_timeout_s: StartTimeout = START_TIMEOUT_S,
    run_folder: RunFolder = DEFAULT_FOLDER,
) -> None:
    """Serve a release beside the baseline; returns when every gateway knows it as canary.

    CANARY_PERCENT says which share of the callers it gets.
    """
    with errors_shown():
        layout = layout_of_release(release, _core_count(), releases)
        stack = _stack(run_folder, start_timeout_s)
        _show_arms(Switching(stack).canary(layout))


def drop_canary(run_folder: RunFolder = DEFAULT_FOLDER) -> None:
    """Ask the baseline alone, and stop the servers of the canary."""
    with errors_shown():
        _show_arms(Switching(_stack(run_folder)).drop_canary())


def switch(
    release: Release,
    stop_old: Annotated[
        bool,
        typer.Option("--stop-old", help="Stop the servers of the old baseline: no warm way back."),
    ] = False,
    releases: Releases = DEFAULT_RELEASES_FOLDER,
    start_timeout_s: StartTimeout = START_TIMEOUT_S,
    run_folder: RunFolder = DEFAULT_FOLDER,
) -> None:
    """Make a release the baseline for everybody; the one before stays up as warm spare."""
    with errors_shown():
        layout = layout_of_release(release, _core_count(), releases)
        stack = _stack(run_folder, start_timeout_s)
        _show_arms(Switching(stack).switch(layout, stop_old=stop_old))


def rollback(  # noqa: PLR0913, PLR0917 -- the options of a command
    name: Annotated[
        str | None, typer.Argument(help="The release to go back to; default: the previous one.")
    ] = None,
    releases: Releases = DEFAULT_RELEASES_FOLDER,
    record: Annotated[Path, typer.Option(help="Where what it took is kept.")] = DEFAULT_RECORD,
    start_timeout_s: StartTimeout = START_TIMEOUT_S,
    run_folder: RunFolder = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Go back: the running stack, if one is up, and the pointers `current` and `previous`."""
    with errors_shown():
        going_back = RollBack(_stack(run_folder, start_timeout_s), releases, _core_count(), record)
        done = going_back.run(name, _now)
    if as_json:
        sys.stdout.write(json.dumps(asdict(done)) + "\n")
    else:
        _show_rollback(done)


def register(app: typer.Typer) -> None:
    """Add the commands to the launcher."""
    for command in (canary, drop_canary, switch, rollback):
        app.command()(command)


def _stack(run_folder: Path, start_timeout_s: float = START_TIMEOUT_S) -> LocalStack:
    return LocalStack(run_folder, os.environ, show_progress, start_timeout_s)


def _core_count() -> int:
    return os.cpu_count() or 1


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _show_arms(state: StackState) -> None:
    sys.stdout.write(f"baseline: {state.group(state.baseline).release_id}\n")
    canary_id = "none" if state.canary is None else state.group(state.canary).release_id
    sys.stdout.write(f"canary:   {canary_id}\n")
    for group in state.spares():
        sys.stdout.write(f"spare:    {group.release_id}\n")


def _show_rollback(done: RollBackRecord) -> None:
    sys.stdout.write(
        f"current release: {done.to_release} (before: {done.from_release or 'none'})\n"
    )
    if done.stack_switched:
        sys.stdout.write(
            f"every gateway asks it after {done.seconds:.1f} s; "
            f"{done.failed_requests} of {done.requests} requests failed meanwhile\n"
        )
    else:
        sys.stdout.write("no stack is up: what starts next serves it\n")
    sys.stdout.write(
        "now check it: python tools/check_rollback.py "
        "--baseline artifacts/eval/baseline_metrics.json\n"
    )
