"""What was started, on disk, so that another process can stop exactly that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deploy.local.errors import StackError
from deploy.local.layout import GATEWAY, Layout, Ports, Replicas, ServerSpec

FORMAT = "retrieval-local-stack/2"
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
class Placement:
    """Where a stack stands, so that a further release is placed beside it in the same way."""

    host: str
    ports: Ports
    replicas: Replicas


@dataclass(frozen=True, slots=True)
class Group:
    """The servers of one release, which share a colour; `release` is its folder."""

    colour: str
    release: Path
    release_id: str


@dataclass(frozen=True, slots=True)
class StackState:
    """The processes of one stack in the order they were started.

    groups: the releases that stand side by side. baseline, canary: colours of the two that are
    asked; any other group is a spare that stands ready to become the baseline again.
    """

    placement: Placement
    groups: tuple[Group, ...]
    baseline: str
    canary: str | None
    servers: tuple[StartedServer, ...]

    @property
    def release(self) -> Path:
        """Folder of the release that is the baseline."""
        return self.group(self.baseline).release

    @property
    def gateways(self) -> tuple[StartedServer, ...]:
        """The gateways, which ask the servers of every colour."""
        return tuple(server for server in self.servers if server.spec.module == GATEWAY)

    def group(self, colour: str) -> Group:
        """The group of that colour. StackError where there is none."""
        for group in self.groups:
            if group.colour == colour:
                return group
        raise StackError(f"no servers of colour {colour!r}")

    def group_of(self, release: Path) -> Group | None:
        """The group that serves the release of this folder, or None."""
        return next((group for group in self.groups if group.release == release), None)

    def spares(self) -> tuple[Group, ...]:
        """Groups that are neither baseline nor canary."""
        asked = {self.baseline, self.canary}
        return tuple(group for group in self.groups if group.colour not in asked)

    def servers_of(self, colour: str) -> tuple[StartedServer, ...]:
        """The servers of one group, in the order they were started."""
        return tuple(server for server in self.servers if server.spec.colour == colour)

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
        servers = (
            tuple(started if old.spec.name == name else old for old in self.servers)
            if name in others
            else (*self.servers, started)
        )
        return replace(self, servers=servers)

    def with_group(self, group: Group) -> StackState:
        """The same stack with one more group, which no server belongs to yet."""
        return replace(self, groups=(*self.groups, group))

    def without(self, colours: Sequence[str]) -> StackState:
        """The same stack without these groups and their servers."""
        return replace(
            self,
            groups=tuple(group for group in self.groups if group.colour not in colours),
            servers=tuple(server for server in self.servers if server.spec.colour not in colours),
        )


def empty_state(layout: Layout) -> StackState:
    """The state of a stack of which nothing has been started."""
    return StackState(
        placement=Placement(layout.host, layout.ports, layout.replicas),
        groups=(group_of_layout(layout),),
        baseline=layout.colour,
        canary=None,
        servers=(),
    )


def group_of_layout(layout: Layout) -> Group:
    """The group that the layout's servers make."""
    return Group(layout.colour, layout.release, layout.release_id or layout.release.name)


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
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError) as error:
        raise StackError(f"{path} is not readable: {error!r}") from error


def _parse(content: Mapping[str, Any]) -> StackState:
    placement = content["placement"]
    return StackState(
        placement=Placement(
            placement["host"], Ports(**placement["ports"]), Replicas(**placement["replicas"])
        ),
        groups=tuple(
            Group(group["colour"], Path(group["release"]), group["release_id"])
            for group in content["groups"]
        ),
        baseline=content["baseline"],
        canary=content["canary"],
        servers=tuple(_server(entry) for entry in content["servers"]),
    )


def _server(entry: Mapping[str, Any]) -> StartedServer:
    spec = {**entry["spec"], "other_ports": tuple(entry["spec"]["other_ports"])}
    return StartedServer(
        ServerSpec(**spec), int(entry["pid"]), float(entry["started_s"]), Path(entry["log"])
    )


def write_state(folder: Path, state: StackState) -> None:
    """Replace the state file in one step; its key `release` is for people and other commands."""
    content = {
        "format": FORMAT,
        "release": str(state.release),
        "placement": asdict(state.placement),
        "groups": [{**asdict(group), "release": str(group.release)} for group in state.groups],
        "baseline": state.baseline,
        "canary": state.canary,
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
