"""What was started, on disk, so that another process can stop exactly that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.local.errors import StackError
from deploy.local.layout import ServerSpec

FORMAT = "retrieval-local-stack/1"
FILE_NAME = "stack.json"


@dataclass(frozen=True, slots=True)
class StartedServer:
    """One process that was started. `started_s`: its start as the system's clock has it.

    A pid alone does not name a process, since the system gives it to another one later; a pid and
    its start together do.
    """

    spec: ServerSpec
    pid: int
    started_s: float
    log: Path


@dataclass(frozen=True, slots=True)
class StackState:
    """The processes of one stack in the order they were started."""

    release: Path
    servers: tuple[StartedServer, ...]

    def server(self, name: str) -> StartedServer:
        """The one of that name; StackError lists the names there are."""
        for server in self.servers:
            if server.spec.name == name:
                return server
        names = ", ".join(server.spec.name for server in self.servers)
        raise StackError(f"no server {name!r}; there are {names}")

    def replaced(self, started: StartedServer) -> StackState:
        """The same stack with one server started anew, or one more at the end."""
        name = started.spec.name
        others = [server.spec.name for server in self.servers]
        if name not in others:
            return StackState(self.release, (*self.servers, started))
        return StackState(
            self.release,
            tuple(started if old.spec.name == name else old for old in self.servers),
        )


def read_state(folder: Path) -> StackState | None:
    """What was started under this run folder, or None; a file of another format is StackError."""
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StackError(f"{path} is not readable: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StackError(f"{path} is not of format {FORMAT}")
    return StackState(
        Path(content["release"]), tuple(_server(entry) for entry in content["servers"])
    )


def _server(entry: Mapping[str, Any]) -> StartedServer:
    spec = {**entry["spec"], "other_ports": tuple(entry["spec"]["other_ports"])}
    return StartedServer(
        ServerSpec(**spec), int(entry["pid"]), float(entry["started_s"]), Path(entry["log"])
    )


def write_state(folder: Path, state: StackState) -> None:
    """Replace the state file in one step."""
    content = {
        "format": FORMAT,
        "release": str(state.release),
        "servers": [
            {**asdict(server), "log": str(server.log), "spec": _spec_entry(server.spec)}
            for server in state.servers
        ],
    }
    temporary = folder / f"{FILE_NAME}.tmp"
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(folder / FILE_NAME)


def _spec_entry(spec: ServerSpec) -> dict[str, Any]:
    return {**asdict(spec), "settings": dict(spec.settings)}


def remove_state(folder: Path) -> None:
    """Forget the stack; logs stay."""
    (folder / FILE_NAME).unlink(missing_ok=True)
