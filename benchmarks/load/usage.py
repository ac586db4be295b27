"""CPU seconds and memory of the stack's processes while a phase runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.local.processes import find_process
from deploy.local.state import StartedServer

_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """One server over one phase. `peak_bytes` is the largest resident set seen in it."""

    name: str
    cpu_s: float
    peak_bytes: int
    alive: bool


@dataclass(slots=True)
class UsageMeter:
    """Measures from `start` to `stop`; memory is looked at four times a second."""

    servers: Sequence[StartedServer]
    _cpu_before_s: dict[str, float] = field(init=False, default_factory=dict)
    _peak_bytes: dict[str, int] = field(init=False, default_factory=dict)
    _over: threading.Event = field(init=False, default_factory=threading.Event)
    _thread: threading.Thread | None = field(init=False, default=None)

    def start(self) -> None:
        """Begin to measure."""
        self._cpu_before_s = {server.spec.name: _cpu_s(server) for server in self.servers}
        self._look()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self._thread.start()

    def stop(self) -> list[ProcessUsage]:
        """End the measurement."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._look()
        return [self._usage(server) for server in self.servers]

    def _usage(self, server: StartedServer) -> ProcessUsage:
        name = server.spec.name
        alive = find_process(server) is not None
        # A process that ended took its counters with it.
        spent_s = _cpu_s(server) - self._cpu_before_s[name] if alive else 0.0
        return ProcessUsage(name, round(spent_s, 3), self._peak_bytes.get(name, 0), alive)

    def _keep_looking(self) -> None:
        while not self._over.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        for server in self.servers:
            process = find_process(server)
            if process is not None:
                seen = int(process.memory_info().rss)
                name = server.spec.name
                self._peak_bytes[name] = max(seen, self._peak_bytes.get(name, 0))


def _cpu_s(server: StartedServer) -> float:
    process = find_process(server)
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)
