"""The stack as a whole: up, down, status, restart of one server.

Releases beside the one that `up` started are the matter of deploy.local.switching.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.arms_file import ARMS_FILE_NAME, write_arms
from deploy.local.errors import AlreadyUp, BadFlags, NotUp
from deploy.local.health import Report, check_ports_free, is_healthy, wait_until_healthy
from deploy.local.layout import Layout, ServerSpec, check_ports
from deploy.local.processes import find_process, spawn, stop
from deploy.local.state import (
    StackState,
    StartedServer,
    empty_state,
    read_state,
    remove_state,
    write_state,
)
from retrieval_core.errors import InvalidInput
from retrieval_core.flags import FlagValues, flags_from_environment
from servicekit.flag_file import begin_flags

DEFAULT_FOLDER = Path(".run")
FLAGS_FILE_NAME = "flags.json"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as it is now; `memory_bytes` is its resident set, 0 when it is gone."""

    server: StartedServer
    role: str
    alive: bool
    healthy: bool
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class LocalStack:
    """Acts on the stack whose state and logs are under `folder`.

    `environ` is what the servers inherit; `report` takes lines of progress.
    """

    folder: Path
    environ: Mapping[str, str]
    report: Report
    start_timeout_s: float = START_TIMEOUT_S
    stop_timeout_s: float = STOP_TIMEOUT_S

    def up(self, layout: Layout) -> StackState:
        """Start every server of the layout and return once all are healthy.

        Raises AlreadyUp, BadFlags or PortsTaken before anything is started, or StartFailed after
        everything that was started has been stopped again.
        """
        with self.locked():
            self._refuse_if_up()
            flags = _exported_flags(self.environ)
            files = self._gateway_files()
            specs = [*layout.backends(), *layout.gateways(files)]
            check_ports(specs)
            check_ports_free(specs)
            begin_flags(self.flags_file, flags)
            try:
                backends = self.launch(layout.backends(), empty_state(layout))
                self.wait_until_healthy(layout.backends(), backends)
                write_arms(self.arms_file, backends)
                state = self.launch(layout.gateways(files), backends)
                self.wait_until_healthy(layout.gateways(files), state)
            except BaseException:
                self._stop_all()
                raise
            return state

    def down(self) -> dict[str, str]:
        """Stop what was started, gateways first; returns how each server ended.

        Raises NotUp when there is no stack.
        """
        with self.locked():
            self.state()
            return self._stop_all()

    def status(self) -> list[ServerStatus]:
        """Every server that was started, as it is now; empty when there is no stack."""
        state = read_state(self.folder)
        return [_status_of(server, state) for server in state.servers] if state else []

    def restart(self, name: str) -> StartedServer:
        """Stop one server, dead or alive, and return once it is healthy again."""
        with self.locked():
            state = self.state()
            old = state.server(name)
            stop([old], self.stop_timeout_s)
            check_ports_free([old.spec])
            started = self.launch([old.spec], state).server(name)
            wait_until_healthy([started], self.start_timeout_s, self.report)
            return started

    def state(self) -> StackState:
        """What was started. Raises NotUp when there is no stack."""
        state = read_state(self.folder)
        if state is None:
            raise NotUp("no stack is up; start one with `make up RELEASE=NAME`")
        return state

    @property
    def arms_file(self) -> Path:
        """What tells the gateways whom to ask."""
        return (self.folder / ARMS_FILE_NAME).resolve()

    @property
    def flags_file(self) -> Path:
        """What tells the gateways how to answer."""
        return (self.folder / FLAGS_FILE_NAME).resolve()

    def launch(self, specs: Sequence[ServerSpec], state: StackState) -> StackState:
        """Start these servers of the stack, without waiting for them. Needs the lock."""
        for spec in specs:
            log = (self.folder / f"{spec.name}.log").resolve()
            log.unlink(missing_ok=True)
            state = state.replaced(spawn(spec, log, self.environ))
            # After every start, so that whatever ends us leaves a state that `down` can work from.
            write_state(self.folder, state)
        return state

    def wait_until_healthy(self, specs: Sequence[ServerSpec], state: StackState) -> None:
        """Return when these servers are healthy. StartFailed as soon as one has died, or late."""
        started = [state.server(spec.name) for spec in specs]
        wait_until_healthy(started, self.start_timeout_s, self.report)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the only right to change the stack."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _gateway_files(self) -> dict[str, str]:
        return {
            "GATEWAY_FLAGS_FILE": str(self.flags_file),
            "GATEWAY_ARMS_FILE": str(self.arms_file),
        }

    def _refuse_if_up(self) -> None:
        state = read_state(self.folder)
        if state is None:
            return
        alive = [server.spec.name for server in state.servers if find_process(server) is not None]
        if alive:
            raise AlreadyUp(
                f"a stack is up already ({', '.join(alive)}), serving {state.release}; "
                "`make down` stops it"
            )
        remove_state(self.folder)

    def _stop_all(self) -> dict[str, str]:
        state = read_state(self.folder)
        if state is None:
            return {}
        gateways = list(reversed(state.gateways))
        backends = [server for server in reversed(state.servers) if server not in gateways]
        # The gateways drain while everything they ask is still there.
        outcomes = stop(gateways, self.stop_timeout_s)
        outcomes |= stop(backends, self.stop_timeout_s)
        remove_state(self.folder)
        self.arms_file.unlink(missing_ok=True)
        return outcomes


def _exported_flags(environ: Mapping[str, str]) -> FlagValues:
    try:
        return flags_from_environment(environ)
    except InvalidInput as error:
        raise BadFlags(f"an exported flag is wrong: {error.message}") from error


def _status_of(server: StartedServer, state: StackState) -> ServerStatus:
    role = _role_of(server, state)
    process = find_process(server)
    if process is None:
        return ServerStatus(server, role, alive=False, healthy=False, memory_bytes=0)
    return ServerStatus(
        server,
        role,
        alive=True,
        healthy=is_healthy(server.spec),
        memory_bytes=int(process.memory_info().rss),
    )


def _role_of(server: StartedServer, state: StackState) -> str:
    colour = server.spec.colour
    if not colour:
        return ""
    return {state.baseline: "baseline", state.canary: "canary"}.get(colour, "spare")
