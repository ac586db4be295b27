"""Starting, recognising and ending the processes of a stack; never another one's."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from deploy.local.layout import ServerSpec
from deploy.local.state import StartedServer

_START_TOLERANCE_S = 2.0
_POLL_S = 0.02


def spawn(spec: ServerSpec, log: Path, environ: Mapping[str, str]) -> StartedServer:
    """Start one server in a session of its own, its output appended to `log`.

    A terminal's Ctrl-C does not reach it. `environ` is what it inherits; the spec's settings win.
    """
    # No Popen object: the process is meant to outlive this one.
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", spec.module],
        {**environ, **spec.settings, "PYTHONUNBUFFERED": "1"},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return StartedServer(spec, pid, psutil.Process(pid).create_time(), log)


def find_process(server: StartedServer) -> psutil.Process | None:
    """The process that was started, or None once it is gone, whoever has its pid now."""
    try:
        process = psutil.Process(server.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            _reap(server.pid)
            return None
        return process if _is_the_same(process, server) else None
    except psutil.ZombieProcess:
        _reap(server.pid)
    except psutil.NoSuchProcess:
        pass
    return None


def _is_the_same(process: psutil.Process, server: StartedServer) -> bool:
    # The clock may have been set since the start, hence the tolerance; hence the second look too.
    if abs(process.create_time() - server.started_s) > _START_TOLERANCE_S:
        return False
    command = process.cmdline()
    return not command or server.spec.module in command


def _reap(pid: int) -> None:
    # Only a parent can; where it was another process, init does it. A process reads as a zombie
    # while its last threads end, so that this may wait for a moment.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def send(server: StartedServer, signal_number: int) -> bool:
    """Signal the process that was started; False when it is gone."""
    process = find_process(server)
    if process is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal_number)
    return True


def wait_until_gone(servers: Sequence[StartedServer], timeout_s: float) -> list[StartedServer]:
    """Wait for all of them to end; returns those that have not within the time."""
    ends = time.monotonic() + timeout_s
    left = list(servers)
    while True:
        left = [server for server in left if find_process(server) is not None]
        if not left or time.monotonic() >= ends:
            return left
        time.sleep(_POLL_S)


def stop(servers: Sequence[StartedServer], timeout_s: float) -> dict[str, str]:
    """SIGTERM all of them in the order given, SIGKILL what is left after `timeout_s`.

    Returns for each name how it ended: `stopped`, `killed`, or `gone` when it was already.
    """
    outcomes = {
        server.spec.name: "stopped" if send(server, signal.SIGTERM) else "gone"
        for server in servers
    }
    for server in wait_until_gone(servers, timeout_s):
        send(server, signal.SIGKILL)
        outcomes[server.spec.name] = "killed"
    wait_until_gone(servers, timeout_s=5.0)
    return outcomes


def last_lines(log: Path, count: int = 15) -> list[str]:
    """The end of a log; empty when there is none."""
    try:
        return log.read_text(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
