"""The launcher with the real servers: what it says when they cannot start, and what it leaves."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local.errors import PortsTaken, StartFailed
from deploy.local.layout import DEFAULT_PORTS, Replicas
from deploy.local.releases import layout_of_release, placed
from deploy.local.stack import LocalStack
from deploy.local.state import StackState, read_state
from tests.support.local_stacks import up_at_free_ports
from tests.support.tiny_release import TinyRelease, build_tiny_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    """A release without an encoder, which the encoder server cannot serve."""
    return build_tiny_release(tmp_path_factory.mktemp("releases"), shard_count=2)


def running_servers() -> list[str]:
    """Modules of the servers that this process started and that still run."""
    commands = []
    for child in psutil.Process().children():
        # A dead one that nobody has waited for has no command any more, and does not run.
        with contextlib.suppress(psutil.NoSuchProcess):
            commands.append(child.cmdline())
    return [command[2] for command in commands if command[1:2] == ["-m"]]


def test_a_server_that_cannot_start_is_named_and_everything_else_stopped(
    release: TinyRelease, tmp_path: Path
) -> None:
    stack = LocalStack(tmp_path, os.environ, report=lambda _: None)
    layout = layout_of_release(str(release.folder), core_count=2)

    def up(offset: int) -> StackState:
        ports = DEFAULT_PORTS.shifted(offset)
        return stack.up(placed(layout, host="127.0.0.1", ports=ports, replicas=Replicas()))

    with pytest.raises(StartFailed, match="encoder ended before it was healthy") as raised:
        up_at_free_ports(up)
    assert "encoder.log" in str(raised.value)
    assert len(str(raised.value).splitlines()) > 1
    logs = {path.stem for path in tmp_path.glob("*.log")}
    assert logs == {"encoder", "shard-0", "shard-1"}
    assert running_servers() == []
    assert read_state(tmp_path) is None


def test_a_taken_port_is_named_before_anything_is_started(
    release: TinyRelease, tmp_path: Path
) -> None:
    stack = LocalStack(tmp_path, os.environ, report=lambda _: None)
    layout = layout_of_release(str(release.folder), core_count=2)

    def up_beside(listener: socket.socket) -> None:
        ports = replace(DEFAULT_PORTS.shifted(2000), encoder=listener.getsockname()[1])
        stack.up(placed(layout, host="127.0.0.1", ports=ports, replicas=Replicas()))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortsTaken, match=f"encoder needs 127.0.0.1:{port}"):
            up_beside(listener)
    assert list(tmp_path.glob("*.log")) == []
    assert read_state(tmp_path) is None


def test_without_a_release_the_command_says_how_to_build_one(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "deploy.local", "up"),
        *("--release", "there-is-none", "--run-folder", str(tmp_path)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "there-is-none" in done.stderr
    assert "build_release.py --corpus" in done.stderr
