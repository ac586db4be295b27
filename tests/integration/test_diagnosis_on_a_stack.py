"""Diagnosis and preflight look at a real stack: faults are injected, the likely cause is named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.processes import find_process
from deploy.local.stack import LocalStack
from operations.gateway_http import read_health
from operations.rehearsals import read_rehearsal
from tests.support.local_stacks import PATIENT, ROOT, Load, build_text_release, running_stack

FOLLOW_S = 20.0


@dataclass(frozen=True)
class Scene:
    """A stack of two shards, where it keeps its state, and how its gateway is reached."""

    stack: LocalStack
    releases: Path
    http: str
    grpc: str

    def run(self, tool: str, *arguments: object) -> tuple[int, dict[str, Any]]:
        """A command's exit status and what it prints as JSON."""
        done = subprocess.run(
            [
                *(sys.executable, str(ROOT / "tools" / tool), "--json"),
                *("--gateway", self.http, "--releases", str(self.releases)),
                *map(str, arguments),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            cwd=ROOT,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def diagnose(self) -> tuple[int, dict[str, Any]]:
        return self.run("diagnose_retriever.py", "--run-folder", self.stack.folder)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("diagnosis")
    release = build_text_release(folder, shard_count=2)
    settings = {**PATIENT, "INDEX_MEMORY_BASELINE_S": "0", "GATEWAY_MEMORY_BASELINE_S": "0"}
    with running_stack(release, folder / "run", settings=settings) as stack:
        gateway = stack.state().gateways[0].spec
        http = f"{gateway.host}:{gateway.other_ports[0]}"
        yield Scene(stack, folder / "releases", http, gateway.address)


def _wait_until(scene: Scene, cause: str) -> dict[str, Any]:
    """The first diagnosis whose likely cause it is."""
    began = time.monotonic()
    while time.monotonic() - began < FOLLOW_S:
        status, found = scene.diagnose()
        if found["causes"] and found["causes"][0]["name"] == cause:
            assert status == 1
            return found
    raise AssertionError(f"{cause} is not the likely cause; the last diagnosis: {found}")


def test_a_healthy_stack_is_seen_whole(scene: Scene) -> None:
    status, found = scene.diagnose()
    harmless = {"imbalance", "recall"}  # Of twenty-odd passages.
    assert {cause["name"] for cause in found["causes"]} <= harmless
    assert status in {0, 1}
    servers = {server["name"]: server for server in found["seen"]["servers"]}
    assert len(servers) == 5
    assert all(server["is_healthy"] for server in servers.values())
    assert servers["shard-0"]["baseline_bytes"] > 10_000_000


def test_every_server_behind_the_gateway_holds_its_release(scene: Scene) -> None:
    lock = str(scene.releases / ".serving" / "tiny-2.lock")
    held = {
        server.spec.name: lock in [file.path for file in psutil.Process(server.pid).open_files()]
        for server in scene.stack.state().servers
    }
    assert held == {
        "encoder": True,
        "shard-0": True,
        "shard-1": True,
        "reranker": True,
        "gateway": False,
    }


def test_a_dead_shard_is_the_likely_cause(scene: Scene) -> None:
    shard = scene.stack.state().server("shard-1")
    process = find_process(shard)
    assert process is not None
    process.send_signal(signal.SIGKILL)
    found = _wait_until(scene, "shard_gone")
    assert "its process has ended: shard-1" in found["causes"][0]["evidence"]
    scene.stack.restart("shard-1")
    began = time.monotonic()
    while read_health(scene.http)["coverage"] < 1.0:
        assert time.monotonic() - began < FOLLOW_S


def test_a_bad_flags_file_is_the_likely_cause(scene: Scene) -> None:
    flags = scene.stack.flags_file
    before = flags.read_bytes()
    flags.write_text('{"RERANKER": "maybe"}')
    found = _wait_until(scene, "flags_refused")
    assert "RERANKER" in found["causes"][0]["evidence"]
    flags.write_bytes(before)


def test_the_kill_switch_is_rehearsed_under_load(scene: Scene, tmp_path: Path) -> None:
    with Load([scene.grpc]).running():
        status, found = scene.run(
            "preflight.py",
            *("--rehearse-kill-switch", "--only", "kill_switch_rehearsed"),
            *("--only", "health", "--flags-file", scene.stack.flags_file),
            *("--rehearsals", tmp_path),
        )
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["kill_switch_rehearsed"]["verdict"] == "PASS", checks
    assert checks["health"]["verdict"] == "PASS", checks
    assert status == 0
    rehearsal = read_rehearsal(tmp_path / "kill_switch.json")
    assert rehearsal.seconds < 1.0
    assert rehearsal.requests > 0
    assert rehearsal.failed_requests == 0
    assert read_health(scene.http)["flags"]["values"].get("RERANKER", "on") == "on"


def test_a_stack_that_is_gone_is_said_first(scene: Scene, tmp_path: Path) -> None:
    status, found = scene.run(
        "diagnose_retriever.py", "--run-folder", tmp_path, "--gateway", "127.0.0.1:9"
    )
    assert (status, found["causes"][0]["name"]) == (3, "nothing_started")
