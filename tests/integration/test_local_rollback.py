"""Releases side by side in a real stack under load: canary, switch, and the way back."""

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

import pytest

from deploy.local.errors import NotPossible, StartFailed
from deploy.local.gateways import ask_health
from deploy.local.layout import Replicas
from deploy.local.processes import find_process, send
from deploy.local.releases import layout_of_release
from deploy.local.stack import LocalStack
from deploy.local.switching import Switching
from releases.bundle import open_release
from releases.deriving import derive_release
from releases.pointers import CURRENT, PREVIOUS, read_pointer, switch_current
from rollouts.stages import LocalStage
from servicekit.flag_file import read_flags, write_flags
from tests.rehearsal.callers import Callers
from tests.support.local_stacks import (
    ROOT,
    Load,
    addresses_of,
    build_text_release,
    running_stack,
)

pytestmark = pytest.mark.slow
SCRIPT = ROOT / "scripts" / "rollback_retriever.sh"
BACK_WITHIN_S = 5.0


@dataclass(frozen=True)
class World:
    """Two releases that differ in name alone, v-1 served by two gateways, v0 the current one."""

    stack: LocalStack
    releases: Path
    record: Path

    def layout(self, name: str) -> Any:
        return layout_of_release(name, 2, self.releases)

    def switching(self) -> Switching:
        return Switching(self.stack)

    def gateways(self) -> list[str]:
        return addresses_of(self.stack, "gateway")

    def roll_back(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            *("bash", str(SCRIPT), *arguments, "--releases", str(self.releases)),
            *("--run-folder", str(self.stack.folder), "--record", str(self.record)),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def make_releases(folder: Path) -> Path:
    first = open_release(build_text_release(folder, shard_count=2))
    releases = folder / "releases"
    for name in ("v-1", "v0"):
        derive_release(first, releases, name, created="2026-01-01T00:00:00Z")
        switch_current(releases, name)
    return releases


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("arms")
    releases = make_releases(folder)
    replicas = Replicas(gateway=2)
    with running_stack(releases / "v-1", folder / "run", replicas=replicas) as stack:
        yield World(stack, releases, folder / "rollback.json")


def served(load: Load, count: int = 40) -> set[str]:
    """Releases of the next answers; those that were on their way when asked are passed over."""
    load.wait_for_answers(load.caller_count)
    return {result.release_id for result in load.wait_for_answers(count)}


def healths(world: World) -> list[dict[str, Any]]:
    gateways = world.stack.state().gateways
    return [ask_health(one.spec.host, one.spec.other_ports[0]) for one in gateways]


def test_the_way_there_and_back_under_load(world: World) -> None:
    with Load(world.gateways()).running() as load:
        assert served(load) == {"v-1"}

        world.switching().canary(world.layout("v0"))
        # Known to every gateway, asked by nobody: that is for the percentage to say.
        assert [one["arms"]["canary"]["release"] for one in healths(world)] == ["v0", "v0"]
        assert served(load) == {"v-1"}

        write_flags(world.stack.flags_file, {"CANARY_PERCENT": 100})
        wait_until(lambda: served(load, 10) == {"v0"})

        world.switching().switch(world.layout("v0"))
        assert [one["version"] for one in healths(world)] == ["v0", "v0"]
        assert served(load) == {"v0"}
        assert spares(world) == ["v-1"]

        began = time.monotonic()
        done = world.roll_back("v-1", "--json")
        elapsed_s = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        assert served(load) == {"v-1"}
    assert load.errors == []

    outcome = json.loads(done.stdout)
    assert (outcome["from_release"], outcome["to_release"]) == ("v0", "v-1")
    assert outcome["failed_requests"] == 0
    assert outcome["seconds"] <= elapsed_s < BACK_WITHIN_S + 2.0  # Python's own start
    assert outcome["seconds"] < BACK_WITHIN_S
    assert json.loads(world.record.read_text()) == {"format": "retrieval-rollback/1", **outcome}
    # The next canary begins with no callers.
    assert read_flags(world.stack.flags_file)["CANARY_PERCENT"] == 0
    assert read_pointer(world.releases, CURRENT) == "v-1"
    assert read_pointer(world.releases, PREVIOUS) == "v0"
    assert spares(world) == ["v0"]


def test_going_back_twice_is_going_back_once(world: World) -> None:
    # Without a name it is the previous release, and that is where the stack is already.
    for arguments in ((), ("v-1",)):
        done = world.roll_back(*arguments)
        assert done.returncode == 0, done.stderr
        assert "current release: v-1" in done.stdout
        assert read_pointer(world.releases, CURRENT) == "v-1"
        assert [one["version"] for one in healths(world)] == ["v-1", "v-1"]
        assert spares(world) == ["v0"]


def test_a_canary_that_cannot_start_leaves_everything_as_it_was(world: World) -> None:
    source = open_release(world.releases / "v0")
    damaged = derive_release(source, world.releases, "damaged", created="2026-01-01T00:00:00Z")
    index = damaged.folder / "shards" / "1" / "p_ivf.faiss"
    index.chmod(0o644)
    index.write_bytes(index.read_bytes()[:-1] + b"?")
    before = world.stack.state()
    with pytest.raises(StartFailed, match="shard-1"):
        world.switching().canary(world.layout("damaged"))
    assert world.stack.state() == before
    assert [one["arms"]["canary"] for one in healths(world)] == [None, None]


def test_a_second_canary_and_the_baseline_itself_are_refused(world: World) -> None:
    switching = world.switching()
    with pytest.raises(NotPossible, match="v-1 is the baseline"):
        switching.canary(world.layout("v-1"))
    switching.canary(world.layout("v0"))
    with pytest.raises(NotPossible, match="v0 is the canary"):
        switching.canary(world.layout("tiny-2"))
    canary = world.stack.state().servers_of(str(world.stack.state().canary))
    state = switching.drop_canary()
    assert (state.canary, state.spares()) == (None, ())
    assert [server for server in canary if find_process(server)] == []
    assert [one["arms"]["canary"] for one in healths(world)] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("v9",), "no release 'v9'"), ((), "there is no previous release")],
)
def test_without_a_place_to_go_back_to_the_script_says_so(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    nowhere = World(LocalStack(tmp_path / "run", {}, print), tmp_path, tmp_path / "record.json")
    done = nowhere.roll_back(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_without_a_stack_the_pointers_go_back(world: World, tmp_path: Path) -> None:
    switch_current(world.releases, "v0")
    idle = World(LocalStack(tmp_path / "run", {}, print), world.releases, tmp_path / "record.json")
    done = idle.roll_back("--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stack_switched"] is False
    assert read_pointer(world.releases, CURRENT) == "v-1"
    # The record keeps another one from undoing it.
    assert idle.roll_back().returncode == 0
    assert read_pointer(world.releases, CURRENT) == "v-1"


ROLLOUT_PLAN = {
    # Few requests have to settle it here, and times are not what this is about.
    "steps": [
        {"percent": 50, "watch_s": 1, "until_s": 1},
        {"percent": 100, "watch_s": 1, "until_s": 1},
    ],
    "limits": {
        "error_rise_pp": 20,
        "p95_ms": 250,
        "p95_roll_back_ms": 250,
        "p95_rise_ratio": 100,
        "near_duplicate_ratio": 0.9,
        "least_requests": 20,
    },
    "check_every_s": 0.5,
    "recent_s": 2,
    "hold_s": 60,
}


def rollout_running(world: World, command: str, *arguments: str) -> subprocess.Popen[str]:
    folder = world.record.parent
    places = [
        *("--run-folder", str(world.stack.folder), "--releases", str(world.releases)),
        *("--rollouts", str(folder / "rollouts")),
    ]
    if command == "status":
        places = places[-2:]
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "rollout.py"), command, *arguments, *places],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        stdin=subprocess.DEVNULL,
    )


def rollout(world: World, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    with rollout_running(world, command, *arguments) as running:
        out, error = running.communicate(timeout=110)
    return subprocess.CompletedProcess(running.args, running.returncode, out, error)


def events(world: World) -> list[dict[str, Any]]:
    log = world.record.parent / "rollouts" / "v0.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def plan(world: World) -> Path:
    path = world.record.parent / "plan.json"
    path.write_text(json.dumps(ROLLOUT_PLAN))
    return path


def test_a_dry_run_shows_the_timeline_and_changes_nothing(world: World, plan: Path) -> None:
    before = world.stack.state()
    done = rollout(world, "start", "--release", "v0", "--dry-run", "--plan", str(plan))
    assert done.returncode == 0, done.stderr
    assert "50 %" in done.stdout
    assert "baseline: v-1" in done.stderr
    assert world.stack.state() == before
    assert not (world.record.parent / "rollouts").exists()


def test_a_canary_that_fails_is_rolled_back_and_the_log_says_why(world: World, plan: Path) -> None:
    switching = world.switching()
    state = switching.canary(world.layout("v0"))
    shards = [
        server.spec
        for server in state.servers_of(str(state.canary))
        if server.spec.module == "index_svc"
    ]
    with Callers(world.gateways()[0], ["bake a loaf", "oil the chain"]).calling():
        for spec in shards:
            send(state.server(spec.name), signal.SIGKILL)
        done = rollout(world, "start", "--release", "v0", "--plan", str(plan), "--yes", "--json")
    assert done.returncode == 1, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["outcome"], outcome["verdict"]) == ("rolled back", "FAIL")
    assert "error rate: FAIL" in outcome["reason"]
    assert [one["event"] for one in events(world)][:3] == ["started", "canary up", "step"]
    assert events(world)[-1]["event"] == "rolled back"
    assert "error rate: FAIL" in events(world)[-1]["reason"]
    assert [one["arms"]["canary"] for one in healths(world)] == [None, None]
    assert [one["version"] for one in healths(world)] == ["v-1", "v-1"]
    assert rollout(world, "status").returncode == 1
    resumed = rollout(world, "resume", "--yes")
    assert resumed.returncode == 2
    assert "rolled back" in resumed.stderr


def test_without_a_terminal_or_leave_nothing_is_done(world: World, plan: Path) -> None:
    done = rollout(world, "start", "--release", "v0", "--plan", str(plan))
    assert done.returncode == 4, done.stderr
    assert "--yes" in done.stderr
    assert world.stack.state().canary is None
    again = rollout(world, "start", "--release", "v0", "--plan", str(plan), "--yes")
    assert again.returncode == 2
    assert "resume it, or abort it" in again.stderr
    # What may act goes on with the step, while another process ends it.
    walking = rollout_running(world, "resume", "--yes", "--json")
    while events(world)[-1]["event"] != "step":
        assert walking.poll() is None
    assert rollout(world, "abort", "--reason", "enough").returncode == 0
    assert json.loads(walking.communicate(timeout=60)[0])["outcome"] == "aborted"
    assert walking.returncode == 1
    assert world.stack.state().canary is None
    assert events(world)[-2]["reason"] == "enough"


def test_the_stage_of_a_rollout_acts_on_the_real_stack(world: World) -> None:
    def http() -> list[str]:
        specs = [server.spec for server in world.stack.state().gateways]
        return [f"{spec.host}:{spec.other_ports[0]}" for spec in specs]

    stage = LocalStage(world.stack, world.layout("v0"), world.releases, http)
    stage.begin()
    stage.begin()
    stage.set_percent(25)
    assert [one["arms"]["canary"]["percent"] for one in healths(world)] == [25, 25]
    stage.roll_back()
    stage.roll_back()
    assert [one["arms"]["canary"] for one in healths(world)] == [None, None]
    stage.begin()
    stage.promote()
    assert [one["version"] for one in healths(world)] == ["v0", "v0"]
    assert read_pointer(world.releases, CURRENT) == "v0"
    world.roll_back("v-1")


def check(world: World, *arguments: str) -> tuple[int, dict[str, str]]:
    report = world.record.parent / "baseline.json"
    command = [
        *(sys.executable, str(ROOT / "tools" / "check_rollback.py"), "--baseline", str(report)),
        *("--releases", str(world.releases), "--run-folder", str(world.stack.folder)),
        *("--json", *arguments),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=110, cwd=report.parent
    )
    checks = json.loads(done.stdout)["checks"] if done.stdout else []
    return done.returncode, {one["name"].partition(": ")[2]: one["verdict"] for one in checks}


def test_a_check_compares_what_is_served_with_the_report_of_before(world: World) -> None:
    folder = world.record.parent
    evaluated = subprocess.run(
        [
            *(sys.executable, str(ROOT / "tools" / "run_clean_eval.py"), "--release", "v-1"),
            *("--releases", str(world.releases), "--out", str(folder / "baseline.json")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=folder,
    )
    assert (folder / "baseline.json").exists(), evaluated.stderr
    status, verdicts = check(world)
    # All is as before; 24 passages make too few queries to be sure of the quality.
    assert (verdicts["version"], verdicts["health"], verdicts["canary"]) == ("PASS",) * 3
    assert status == 4
    status, verdicts = check(world, "--max-p95-ms", "0.001")
    assert (status, verdicts["P95"]) == (1, "FAIL")
    assert check(world, "--http", "127.0.0.1:1")[0] == 3


def test_a_check_after_the_wrong_switch_says_which_release_answers(world: World) -> None:
    world.switching().switch(world.layout("v0"))
    status, verdicts = check(world)
    assert (status, verdicts["version"]) == (1, "FAIL")
    world.roll_back("v-1")
    assert check(world)[1]["version"] == "PASS"


def spares(world: World) -> list[str]:
    return [group.release_id for group in world.stack.state().spares()]


def wait_until(holds: Any) -> None:
    # The test's own time limit ends a wait for what never comes.
    while not holds():
        pass
