"""The demo as people run it, over a small release: what it shows, and that it always stops."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.processes import find_process
from deploy.local.state import StackState, read_state
from tests.support.local_stacks import ROOT, build_text_release, free_port_offset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run the demo in, which finds the small release where it looks for its own."""
    folder = tmp_path_factory.mktemp("demo")
    build_text_release(folder / "artifacts", shard_count=2)
    return folder


def demo_command(run_folder: Path) -> list[str]:
    return [
        *(sys.executable, "-u", str(ROOT / "tools" / "demo.py"), "--name", "tiny-2"),
        *("--run-folder", str(run_folder), "--port-offset", str(free_port_offset())),
    ]


def test_the_demo_shows_hits_and_waterfalls_and_stops(home: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        demo_command(tmp_path), cwd=home, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith('== text: "read a csv file') for line in lines)
    assert any(line.startswith("== vector:") for line in lines)
    assert any(line.startswith("== context:") for line in lines)
    # Five texts, one vector, one context.
    assert sum(line.startswith("total (gateway)") for line in lines) == 7
    assert sum(line.startswith("ENCODE encoder") for line in lines) == 6
    assert any(line.startswith("retrieval") and "8" in line for line in lines)
    assert any("make up RELEASE=tiny-2" in line for line in lines)
    assert any("buf curl" in line for line in lines)
    assert read_state(tmp_path) is None


def test_a_demo_that_is_told_to_end_stops_what_it_started(home: Path, tmp_path: Path) -> None:
    state: StackState | None = None
    with subprocess.Popen(
        demo_command(tmp_path), cwd=home, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("== warming up"):
                state = read_state(tmp_path)
                running.send_signal(signal.SIGTERM)
                break
        running.stdout.read()
        assert running.wait(timeout=60) != 0
    assert state is not None
    assert [server for server in state.servers if find_process(server) is not None] == []
    assert read_state(tmp_path) is None


def test_a_demo_that_cannot_build_says_so(tmp_path: Path) -> None:
    # There is no such release here, and a name that cannot be one is refused by the builder.
    command = [sys.executable, str(ROOT / "tools" / "demo.py"), "--name", "current"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "building the release ended with status" in done.stdout
