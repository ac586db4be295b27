from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.errors import NotUp, PortsTaken, StackError, StartFailed
from deploy.local.health import check_ports_free, wait_until_healthy
from deploy.local.layout import Layout, ServerSpec
from deploy.local.processes import find_process, last_lines, send, spawn, stop, wait_until_gone
from deploy.local.stack import LocalStack
from deploy.local.state import (
    StartedServer,
    empty_state,
    group_of_layout,
    read_state,
    remove_state,
    write_state,
)
from deploy.local.threads import plan_threads

POLITE = """
import signal, sys, threading
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
print("ready", flush=True)
over.wait()
print("drained", flush=True)
"""
STUBBORN = """
import signal, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
threading.Event().wait()
"""
FAILING = """
import sys
print("settings: PORT is not a number", file=sys.stderr)
sys.exit(2)
"""
PROGRAMS = {"polite_server": POLITE, "stubborn_server": STUBBORN, "failing_server": FAILING}

Starter = Callable[[str], StartedServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    for module, source in PROGRAMS.items():
        (tmp_path / f"{module}.py").write_text(source)
    started: list[StartedServer] = []

    def start_one(module: str) -> StartedServer:
        spec = ServerSpec(
            name=f"{module}-{len(started)}",
            module=module,
            host="127.0.0.1",
            port=1,
            health_service="none",
            settings={"PYTHONPATH": str(tmp_path)},
        )
        server = spawn(spec, tmp_path / f"{spec.name}.log", os.environ)
        started.append(server)
        return server

    yield start_one
    for server in started:
        send(server, signal.SIGKILL)
    assert wait_until_gone(started, timeout_s=10) == []


def wait_for_line(server: StartedServer, line: str) -> None:
    # The test's own time limit ends a wait for a line that never comes.
    while line not in last_lines(server.log):
        assert find_process(server) is not None, last_lines(server.log)


def test_a_server_that_is_told_to_stop_drains_and_stops(start: Starter) -> None:
    server = start("polite_server")
    wait_for_line(server, "ready")
    assert stop([server], timeout_s=10) == {server.spec.name: "stopped"}
    assert last_lines(server.log) == ["ready", "drained"]
    assert find_process(server) is None


def test_a_server_that_ignores_it_is_killed_after_the_limit(start: Starter) -> None:
    server = start("stubborn_server")
    wait_for_line(server, "ready")
    assert stop([server], timeout_s=0.2) == {server.spec.name: "killed"}
    assert find_process(server) is None


def test_a_server_that_is_gone_already_is_not_signalled(start: Starter) -> None:
    server = start("failing_server")
    assert wait_until_gone([server], timeout_s=10) == []
    assert stop([server], timeout_s=1) == {server.spec.name: "gone"}


def test_a_process_with_a_recycled_pid_is_never_touched(start: Starter) -> None:
    stranger = start("polite_server")
    wait_for_line(stranger, "ready")
    recorded = replace(stranger, started_s=stranger.started_s - 3600)
    assert stop([recorded], timeout_s=1) == {stranger.spec.name: "gone"}
    assert find_process(stranger) is not None


def test_a_process_that_runs_something_else_is_never_touched(start: Starter) -> None:
    stranger = start("polite_server")
    wait_for_line(stranger, "ready")
    recorded = replace(stranger, spec=replace(stranger.spec, module="index_svc"))
    assert send(recorded, signal.SIGTERM) is False
    assert find_process(stranger) is not None


def test_a_started_server_has_a_session_of_its_own(start: Starter) -> None:
    server = start("polite_server")
    assert os.getsid(server.pid) == server.pid != os.getsid(0)


def test_a_server_that_dies_at_the_start_is_reported_with_its_last_words(start: Starter) -> None:
    server = start("failing_server")
    with pytest.raises(StartFailed, match="PORT is not a number"):
        wait_until_healthy([server], timeout_s=30, report=lambda _: None)


def test_a_server_that_never_gets_healthy_is_reported_after_the_limit(start: Starter) -> None:
    server = start("polite_server")
    wait_for_line(server, "ready")
    with pytest.raises(StartFailed, match=r"is not healthy after 0\.1 s"):
        wait_until_healthy([server], timeout_s=0.1, report=lambda _: None)


def test_a_taken_port_is_named_with_who_wants_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        spec = ServerSpec("shard-0", "index_svc", "127.0.0.1", port, "s", {})
        with pytest.raises(PortsTaken, match=f"shard-0 needs 127.0.0.1:{port}"):
            check_ports_free([spec])
    check_ports_free([spec])


def test_state_survives_the_way_to_disk_and_back(tmp_path: Path) -> None:
    layout = Layout(Path("/releases/demo"), shard_count=2, threads=plan_threads(2, 2))
    green = group_of_layout(replace(layout, release=Path("/releases/next")).in_colour("green"))
    state = replace(empty_state(layout).with_group(green), canary="green")
    for pid, spec in enumerate([*layout.servers(), *layout.in_colour("green").backends()]):
        state = state.replaced(StartedServer(spec, pid, 34.5, Path(f"/logs/{spec.name}.log")))
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    remove_state(tmp_path)
    assert read_state(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"format": "other/1"}', '{"format": "retrieval-local-stack/2"}'],
)
def test_a_state_file_of_another_kind_is_an_error_and_not_an_empty_stack(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "stack.json").write_text(content)
    with pytest.raises(StackError, match=r"stack\.json"):
        read_state(tmp_path)


def test_without_a_stack_there_is_nothing_to_stop(tmp_path: Path) -> None:
    with pytest.raises(NotUp, match="make up"):
        LocalStack(tmp_path, {}, report=lambda _: None).down()


def test_an_unknown_server_is_answered_with_the_names_there_are() -> None:
    layout = Layout(Path("r"), shard_count=1, threads=plan_threads(2, 1))
    encoder = StartedServer(layout.backends()[0], 1, 0.0, Path("l"))
    state = empty_state(layout).replaced(encoder)
    with pytest.raises(StackError, match=r"no server 'shard-9'; there are encoder"):
        state.server("shard-9")


@pytest.mark.parametrize(("command", "status"), [("down", 0), ("status", 1)])
def test_the_commands_say_that_there_is_no_stack(tmp_path: Path, command: str, status: int) -> None:
    arguments = [sys.executable, "-m", "deploy.local", command, "--run-folder", str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status
    assert "no stack is up" in done.stderr
