"""Plays scenarios on a real stack with real callers, by the command that operators use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploy.local.arms_file import arms_of
from deploy.local.gateways import Arms, ask_health, wait_until_asked
from deploy.local.processes import send
from deploy.local.releases import layout_of_release
from deploy.local.stack import LocalStack
from deploy.local.switching import Switching, wanted_arms
from evaluation.json_values import to_line
from releases.durable import write_bytes_durably
from rollouts.counts import window_between
from rollouts.plan import Plan
from rollouts.sources import GatewaySource
from rollouts.stack_addresses import find_gateways
from rollouts.statistics import percentile
from servicekit.flag_file import write_flags
from tests.rehearsal.callers import Callers
from tests.rehearsal.proxy import Fault, proxies
from tests.rehearsal.scenarios import Scenario, Trouble
from tests.support.local_stacks import ROOT


@dataclass(frozen=True)
class Stage:
    """What scenarios are played on."""

    stack: LocalStack
    releases: Path
    rollouts: Path
    query_sets: Sequence[Path]
    callers: Callers
    plan: Path
    time_scale: float
    slow_s: float


@dataclass(frozen=True)
class Played:
    """What came of a scenario; `problems` is empty when it ended as it should."""

    scenario: Scenario
    outcome: str
    verdict: str
    reason: str
    percents: tuple[float, ...]
    seconds: float
    problems: tuple[str, ...]


def play(stage: Stage, scenario: Scenario, report: Callable[[str], None]) -> Played:
    """Roll the scenario's release out under its trouble; the canary is gone afterwards."""
    began = time.monotonic()
    before = baseline_of(stage.stack)
    log = stage.rollouts / f"{scenario.release}.jsonl"
    written = len(_entries(log))
    with troubled(stage, scenario):
        done = roll_out(stage, scenario.release)
    report(f"{scenario.name}: {done.returncode}")
    state = json.loads(done.stdout) if done.stdout else {"outcome": done.stderr}
    entries = _entries(log)[written:]
    if state["outcome"] == "held":
        _tool(stage, "abort", "--release", scenario.release, "--reason", "rehearsed")
    played = Played(
        scenario,
        outcome=state["outcome"],
        verdict=state.get("verdict", ""),
        reason=state.get("reason", ""),
        percents=tuple(entry["percent"] for entry in entries if entry["event"] == "step"),
        seconds=time.monotonic() - began,
        problems=(),
    )
    return replace(played, problems=tuple(_problems(stage, played, done.returncode, before)))


def _problems(stage: Stage, played: Played, exit_status: int, before: str) -> Iterator[str]:
    wanted = played.scenario
    served = baseline_of(stage.stack)
    for what, found, should in (
        ("exit status", exit_status, wanted.exit_status),
        ("outcome", played.outcome, wanted.outcome),
        ("verdict", played.verdict, wanted.verdict),
        ("steps", played.percents, wanted.percents),
        ("baseline", served, wanted.release if wanted.outcome == "promoted" else before),
        ("canary", canary_of(stage.stack), None),
    ):
        if found != should:
            yield f"{what} is {found}, should be {should}"
    if wanted.reason not in played.reason:
        yield f"the reason is {played.reason!r}, should say {wanted.reason!r}"
    last = [one for one in _entries(stage.rollouts / f"{wanted.release}.jsonl") if "reason" in one]
    if not any(wanted.reason in entry["reason"] for entry in last):
        yield "the log does not say so"


@contextmanager
def troubled(stage: Stage, scenario: Scenario) -> Iterator[None]:
    """The canary is up and its trouble begins when it has callers; it ends with the block."""
    if scenario.trouble is Trouble.NO_CALLERS:
        with stage.callers.silent():
            yield
        return
    if scenario.trouble is Trouble.NONE:
        yield
        return
    with canary_behind_proxies(stage, scenario.release) as fault:
        if scenario.trouble is Trouble.SLOW:
            fault.delay_s = stage.slow_s
        else:
            fault.is_broken = True
        yield


@contextmanager
def canary_behind_proxies(stage: Stage, release: str) -> Iterator[Fault]:
    """The release as canary, every shard of it behind a proxy with the fault that is yielded."""
    write_flags(stage.stack.flags_file, {"CANARY_PERCENT": 0})
    state = Switching(stage.stack).canary(layout_of_release(release, 2, stage.releases))
    arms = arms_of(state)
    shards: list[list[str]] = arms["canary"]["shards"]
    fault = Fault()
    with proxies([replica for shard in shards for replica in shard], fault) as addresses:
        others = iter(addresses)
        arms["canary"]["shards"] = [[next(others) for _ in shard] for shard in shards]
        _tell(stage.stack, arms, wanted_arms(state))
        yield fault


def _tell(stack: LocalStack, arms: dict[str, Any], wanted: Arms) -> None:
    """Wait until the gateways ask through the proxies, which their addresses show."""
    write_bytes_durably(stack.arms_file, json.dumps(arms).encode())
    wait_until_asked(stack.state().gateways, wanted, 10.0)
    address = arms["canary"]["shards"][0][0]
    for gateway in stack.state().gateways:
        while True:
            health = ask_health(gateway.spec.host, gateway.spec.other_ports[0])
            services = health["arms"]["canary"]["services"]
            if services["shard-0"]["address"] == address:
                break
            time.sleep(0.02)


def roll_out(stage: Stage, release: str) -> subprocess.CompletedProcess[str]:
    """The operator's command, acting by itself."""
    sets = [part for folder in stage.query_sets for part in ("--query-set", str(folder))]
    return _tool(
        stage,
        "start",
        *("--release", release, "--plan", str(stage.plan), "--time-scale", str(stage.time_scale)),
        *(*sets, "--yes", "--json"),
    )


def _tool(stage: Stage, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = [
        *("--run-folder", str(stage.stack.folder), "--releases", str(stage.releases)),
        *("--rollouts", str(stage.rollouts)),
    ]
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "rollout.py"), command, *arguments, *places],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
        env=_environment(),
        cwd=stage.rollouts.parent,
    )


def play_trigger(stage: Stage, report: Callable[[str], None]) -> tuple[str, ...]:
    """Break what is served, and see that the watch goes back to the release before by itself.

    Returns what went wrong; nothing when it went well.
    """
    broken = baseline_of(stage.stack)
    folder = stage.rollouts.parent
    plan = folder / "triggers.json"
    plan.write_text('{"triggers": {"least_requests": 10}}')
    with watching(stage, "--plan", str(plan), "--time-scale", "100", "--triggers") as watch:
        report(f"killing the shards of {broken}, which everybody asks")
        state = stage.stack.state()
        for server in state.servers_of(state.baseline):
            if server.spec.module == "index_svc":
                send(server, signal.SIGKILL)
        line = watch.stdout.readline() if watch.stdout else ""
    report(f"the watch says: {line.strip()}")
    return tuple(_trigger_problems(stage, broken, line))


def _trigger_problems(stage: Stage, broken: str, line: str) -> Iterator[str]:
    if "error rate of the baseline above 1 %" not in line:
        yield f"the watch says {line!r}, should say that the error rate is too high"
    if baseline_of(stage.stack) == broken:
        yield f"{broken} is still served"
    answered = stage.callers.count("ok")
    deadline_s = time.monotonic() + 10
    while stage.callers.count("ok") < answered + 20:
        if time.monotonic() > deadline_s:
            yield "nobody is answered after the rollback"
            return
        time.sleep(0.05)
    events = [entry["event"] for entry in _entries(stage.rollouts / "watch.jsonl")]
    if events[-2:] != ["trigger", "rolled back"]:
        yield f"the log of the watch has {events}"


@contextmanager
def watching(stage: Stage, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The operator's watch, ended with the block."""
    command = [
        *(sys.executable, str(ROOT / "tools" / "rollout.py"), "watch", *arguments),
        *("--run-folder", str(stage.stack.folder), "--releases", str(stage.releases)),
        *("--rollouts", str(stage.rollouts)),
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
        # The record of the rollback is written below the working directory.
        cwd=stage.rollouts.parent,
    ) as watch:
        try:
            yield watch
        finally:
            # Not SIGINT: what a shell starts in the background ignores it, and so do its children.
            watch.terminate()


def baseline_of(stack: LocalStack) -> str:
    """The release that the first gateway has as baseline."""
    gateway = stack.state().gateways[0].spec
    return str(ask_health(gateway.host, gateway.other_ports[0])["version"])


def canary_of(stack: LocalStack) -> str | None:
    """The canary as the first gateway has it."""
    gateway = stack.state().gateways[0].spec
    canary = ask_health(gateway.host, gateway.other_ports[0])["arms"]["canary"]
    return None if canary is None else str(canary["release"])


def calibrate(stack: LocalStack, seconds: float) -> float:
    """P95 of the baseline in ms under the callers that there are, over some seconds."""
    source = GatewaySource(find_gateways(stack.folder).http)
    before = source.read()
    time.sleep(seconds)
    window = window_between(before, source.read())
    p95_s = percentile(window.baseline.durations, 0.95).figure
    # Beyond the last edge of the histogram nothing more is known than that.
    return 1e3 * min(p95_s, 0.25)


def write_plan(path: Path, plan: Plan) -> Path:
    """The plan as a file for the command."""
    path.write_text(to_line(plan))
    return path


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "protos")])}


def _entries(log: Path) -> list[dict[str, Any]]:
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().splitlines()]
