"""The stack as a whole: up, down, status, restart of one server."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import AlreadyUp, NotUp
from deploy.local.health import Report, check_ports_free, is_healthy, wait_until_healthy
from deploy.local.layout import Layout, ServerSpec, check_ports
from deploy.local.processes import find_process, spawn, stop
from deploy.local.state import (
    StackState,
    StartedServer,
    read_state,
    remove_state,
    write_state,
)

DEFAULT_FOLDER = Path(".run")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as it is now; `memory_bytes` is its resident set, 0 when it is gone."""

    server: StartedServer
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

        Raises AlreadyUp, PortsTaken before anything is started, or StartFailed after everything
        that was started has been stopped again.
        """
        with self._locked():
            self._refuse_if_up()
            specs = layout.servers()
            check_ports(specs)
            check_ports_free(specs)
            try:
                self._start(layout.backends(), layout.release)
                return self._start(layout.gateways(), layout.release)
            except BaseException:
                self._stop_all()
                raise

    def down(self) -> dict[str, str]:
        """Stop what `up` started, gateways first; returns how each server ended.

        Raises NotUp when there is no stack.
        """
        with self._locked():
            self._state()
            return self._stop_all()

    def status(self) -> list[ServerStatus]:
        """Every server that was started, as it is now; empty when there is no stack."""
        state = read_state(self.folder)
        return [_status_of(server) for server in state.servers] if state else []

    def restart(self, name: str) -> StartedServer:
        """Stop one server, dead or alive, and return once it is healthy again."""
        with self._locked():
            state = self._state()
            old = state.server(name)
            stop([old], self.stop_timeout_s)
            check_ports_free([old.spec])
            started = self._spawn(old.spec, state)
            wait_until_healthy([started], self.start_timeout_s, self.report)
            return started

    def state(self) -> StackState:
        """What was started. Raises NotUp when there is no stack."""
        return self._state()

    def _state(self) -> StackState:
        state = read_state(self.folder)
        if state is None:
            raise NotUp("no stack is up; start one with `make up RELEASE=NAME`")
        return state

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

    def _start(self, specs: Sequence[ServerSpec], release: Path) -> StackState:
        state = read_state(self.folder) or StackState(release, ())
        for spec in specs:
            self._log(spec).unlink(missing_ok=True)
            state = state.replaced(self._spawn(spec, state))
        names = {spec.name for spec in specs}
        started_now = [server for server in state.servers if server.spec.name in names]
        wait_until_healthy(started_now, self.start_timeout_s, self.report)
        return state

    def _spawn(self, spec: ServerSpec, state: StackState) -> StartedServer:
        started = spawn(spec, self._log(spec), self.environ)
        # After every start, so that whatever ends us leaves a state that `down` can work from.
        write_state(self.folder, state.replaced(started))
        return started

    def _log(self, spec: ServerSpec) -> Path:
        return (self.folder / f"{spec.name}.log").resolve()

    def _stop_all(self) -> dict[str, str]:
        state = read_state(self.folder)
        if state is None:
            return {}
        backwards = list(reversed(state.servers))
        gateways = [server for server in backwards if server.spec.module == "gateway"]
        backends = [server for server in backwards if server.spec.module != "gateway"]
        # The gateways drain while everything they ask is still there.
        outcomes = stop(gateways, self.stop_timeout_s)
        outcomes |= stop(backends, self.stop_timeout_s)
        remove_state(self.folder)
        return outcomes

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _status_of(server: StartedServer) -> ServerStatus:
    process = find_process(server)
    if process is None:
        return ServerStatus(server, alive=False, healthy=False, memory_bytes=0)
    return ServerStatus(
        server,
        alive=True,
        healthy=is_healthy(server.spec),
        memory_bytes=int(process.memory_info().rss),
    )
