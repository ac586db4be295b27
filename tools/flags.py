#!/usr/bin/env python3
"""Show and flip the flags of running gateways: query model, reranker, canary share, nprobe.

Every gateway that watches the file has a change in force within a second, without a restart; with
--wait a command returns once they say so. Exit status: 0 done, 2 a flag or the usage is wrong,
3 a gateway does not answer, 4 one answers and did not put the file in force in time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.flags_in_force import wait_until_in_force
from evaluation.commands import EXIT_INCONCLUSIVE, errors_as_exits
from retrieval_core.errors import FailedPrecondition, InvalidInput
from retrieval_core.flags import (
    CANARY,
    FLAG_NAMES,
    flag_values,
    flags_from_assignments,
    flags_from_environment,
    flags_of,
)
from servicekit.flag_file import (
    DEFAULT_FLAGS_FILE,
    is_killed,
    kill_flags,
    read_flags,
    restore_flags,
    write_flags,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

File = Annotated[Path, typer.Option("--file", help="Flags file that the gateways watch.")]
Wait = Annotated[
    list[str] | None,
    typer.Option("--wait", help="HOST:PORT of a gateway's HTTP; wait until it has the file."),
]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait.", min=0.1)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def show(
    file: File = DEFAULT_FLAGS_FILE,
    wait: Wait = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Show what the file says; with --wait also that it is in force."""
    with errors_as_exits():
        _report("show", file, wait, timeout, as_json)


@app.command("set")
def set_flags(
    assignments: Annotated[
        list[str],
        typer.Argument(help="NAME=VALUE, canary.NAME=VALUE for the canary arm; NAME= removes."),
    ],
    file: File = DEFAULT_FLAGS_FILE,
    wait: Wait = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Change some flags and keep the others."""
    with errors_as_exits():
        write_flags(file, parse_changes(assignments))
        _report("set", file, wait, timeout, as_json)


@app.command()
def apply(
    file: File = DEFAULT_FLAGS_FILE,
    wait: Wait = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Write the exported environment variables that are named like flags."""
    with errors_as_exits():
        changes = flags_from_environment(os.environ)
        if not changes:
            raise InvalidInput("environment", f"has none of {', '.join(FLAG_NAMES)}")
        write_flags(file, changes)
        _report("apply", file, wait, timeout, as_json)


@app.command()
def kill(
    file: File = DEFAULT_FLAGS_FILE,
    wait: Wait = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Flip the kill switch: no reranker, no canary, the recency-weighted mean."""
    with errors_as_exits():
        kill_flags(file)
        _report("kill", file, wait, timeout, as_json)


@app.command()
def restore(
    file: File = DEFAULT_FLAGS_FILE,
    wait: Wait = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Undo the kill switch: what stood before is in force again."""
    with errors_as_exits():
        restore_flags(file)
        _report("restore", file, wait, timeout, as_json)


def parse_changes(assignments: list[str]) -> dict[str, Any]:
    """Changes out of NAME=VALUE, None for a name to be removed; InvalidInput names a wrong one."""
    given: dict[str, str] = {}
    changes: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise InvalidInput(assignment, "is not NAME=VALUE")
        if text:
            given[name] = text
        elif name in {*FLAG_NAMES, CANARY}:
            changes[name] = None
        elif name.partition(".")[0] == CANARY:
            changes.setdefault(CANARY, {})[name.partition(".")[2]] = None
        else:
            raise InvalidInput(name, f"is no flag; there are {', '.join(FLAG_NAMES)}")
    checked = dict(flags_from_assignments(given))
    if CANARY in checked and changes.get(CANARY):
        checked[CANARY] = {**changes[CANARY], **checked[CANARY]}
    return {**changes, **checked}


def _report(
    command: str, file: Path, wait: list[str] | None, timeout_s: float, as_json: bool
) -> None:
    values = read_flags(file)
    waited = _waited(file, wait or [], timeout_s)
    body = {
        "command": command,
        "file": str(file),
        "values": _plain(values),
        "killed": is_killed(file),
        "in_force": waited,
    }
    if as_json:
        sys.stdout.write(json.dumps(body) + "\n")
    else:
        _show(file, values, waited)


def _waited(file: Path, wait: list[str], timeout_s: float) -> dict[str, Any]:
    try:
        found = wait_until_in_force(file, wait, timeout_s) if wait else []
    except FailedPrecondition as error:
        sys.stderr.write(f"error: {error.message} [{error.reason}]\n")
        raise typer.Exit(EXIT_INCONCLUSIVE) from None
    return {one.gateway: {"generation": one.generation, "took_s": one.took_s} for one in found}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values)


def _show(file: Path, values: Mapping[str, Any], waited: Mapping[str, Any]) -> None:
    effective = flag_values(flags_of(values))
    for name in FLAG_NAMES:
        note = "" if name in values else "   (not in the file: the environment's, or this)"
        print(f"{name:16}{effective[name] if effective[name] != '' else '-'!s}{note}")
    for name, value in values.get(CANARY, {}).items():
        print(f"canary.{name:16}{value}")
    if is_killed(file):
        print(f"the kill switch is flipped; undo it with: tools/flags.py restore --file {file}")
    for gateway, found in waited.items():
        print(f"in force at {gateway}: generation {found['generation']}, {found['took_s']:.2f} s")


if __name__ == "__main__":
    app()
