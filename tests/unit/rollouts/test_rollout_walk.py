"""A whole rollout against a simulated service; only time, figures and the stack are made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.intervals import Interval
from retrieval_core.errors import FailedPrecondition, Unavailable
from rollouts.counts import (
    BASELINE,
    CANARY,
    CANDIDATES,
    CONFIDENT,
    DURATION_BUCKETS,
    NEAR_DUPLICATES,
    QUERIES,
    RANK1_CHANGED,
    REQUESTS,
    RERANKED,
    Key,
    Reading,
)
from rollouts.log import RolloutLog
from rollouts.plan import Plan
from rollouts.quality import Arm, PairedChange, PairedQuality
from rollouts.state import Outcome, RolloutState, StateFile
from rollouts.walking import Walk, resumable

SAME = PairedChange(Interval(0.0, 0.0, 0.0), 300)
PLAN = replace(Plan(), check_every_s=600.0)


@dataclass
class Behaviour:
    """How an arm does, per request."""

    error_ratio: float = 0.0
    slow_ratio: float = 0.0
    confident_ratio: float = 0.8


@dataclass
class World:
    """Callers, two arms, a stack and a clock that stands still unless somebody waits."""

    requests_a_second: float = 50.0
    canary: Behaviour = field(default_factory=Behaviour)
    baseline: Behaviour = field(default_factory=Behaviour)
    quality: Mapping[str, PairedChange] | Exception = field(default_factory=lambda: {"q": SAME})
    now_s: float = 0.0
    percent: float = 0.0
    is_reachable: bool = True
    acts: list[str] = field(default_factory=list)
    events: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    name: str = "simulation"
    _counters: dict[Key, float] = field(default_factory=dict)

    def clock(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds
        requests = self.requests_a_second * seconds
        self._count(CANARY, requests * self.percent / 100, self.canary)
        self._count(BASELINE, requests * (1 - self.percent / 100), self.baseline)
        for at_s, happen in list(self.events):
            if self.now_s >= at_s:
                self.events.remove((at_s, happen))
                happen()

    def read(self) -> Reading:
        if not self.is_reachable:
            raise Unavailable("connection refused")
        return Reading(self.now_s, {"gateway": dict(self._counters)})

    def measure(self, percent: float) -> Mapping[str, PairedChange]:
        assert percent == self.percent == 50
        if isinstance(self.quality, Exception):
            raise self.quality
        return self.quality

    def begin(self) -> None:
        self.acts.append("begin")

    def set_percent(self, percent: float) -> None:
        self.percent = percent
        self.acts.append(f"{percent:g} %")

    def promote(self) -> None:
        self.acts.append("promote")

    def roll_back(self) -> None:
        self.percent = 0.0
        self.acts.append("roll back")

    def _count(self, arm: str, requests: float, how: Behaviour) -> None:
        failed = requests * how.error_ratio
        ok = requests - failed
        fast = ok * (1 - how.slow_ratio)
        grown = {
            (REQUESTS, arm, "ok"): ok,
            (REQUESTS, arm, "error"): failed,
            (DURATION_BUCKETS, arm, "0.005"): fast,
            (DURATION_BUCKETS, arm, "0.01"): fast,
            (DURATION_BUCKETS, arm, "0.02"): ok,
            (DURATION_BUCKETS, arm, "+Inf"): ok,
            (QUERIES, arm, ""): ok,
            (CONFIDENT, arm, ""): ok * how.confident_ratio,
            (RERANKED, arm, ""): ok,
            (RANK1_CHANGED, arm, ""): ok * 0.3,
            (CANDIDATES, arm, ""): ok * 50,
            (NEAR_DUPLICATES, arm, ""): ok * 0.5,
        }
        for key, count in grown.items():
            self._counters[key] = self._counters.get(key, 0.0) + count


@dataclass
class Run:
    """A rollout in that world, with its state and log on a real disk."""

    folder: Path
    world: World
    confirm: Callable[[str], bool] = lambda _: True
    paired: PairedQuality | None = None

    def __post_init__(self) -> None:
        self.file.begin(RolloutState("v0", "v-1", "now", PLAN))

    @property
    def file(self) -> StateFile:
        return StateFile(self.folder, "v0")

    def walk(self) -> Walk:
        return Walk(
            file=self.file,
            stage=self.world,
            source=self.world,
            quality=self.world if self.paired is None else self.paired,
            log=RolloutLog(self.file.log_path, "v0", lambda: f"{self.world.now_s:.0f}"),
            confirm=self.confirm,
            clock=self.world.clock,
            wait=self.world.wait,
        )

    def log(self, event: str = "") -> list[dict[str, Any]]:
        entries = [json.loads(line) for line in self.file.log_path.read_text().splitlines()]
        return [entry for entry in entries if event in {"", entry["event"]}]


@pytest.fixture
def start(tmp_path: Path) -> Callable[[World], Run]:
    return lambda world: Run(tmp_path, world)


Start = Callable[[World], Run]


def test_a_good_canary_reaches_everybody_in_48_hours(start: Start) -> None:
    run = start(World())
    state = run.walk().run()
    assert state.outcome is Outcome.PROMOTED
    assert run.world.acts == ["begin", "5 %", "25 %", "50 %", "100 %", "promote"]
    assert run.world.now_s == pytest.approx(48 * 3600, rel=0.01)
    assert run.file.read() == state
    assert [entry["percent"] for entry in run.log("step")] == [5, 25, 50, 100]
    decisions = run.log("decision")
    assert {entry["action"] for entry in decisions} == {"advance"}
    # At the end of each watch and, where that is earlier, at the end of the step.
    assert [entry["percent"] for entry in decisions] == [5, 5, 25, 25, 50, 50, 100]
    gates = {gate["gate"]: gate for gate in decisions[4]["gates"]}
    assert gates["R@5 on q"]["verdict"] == "PASS"
    assert gates["error rate"]["figure"] == 0.0
    assert gates["error rate"]["high"] is not None
    assert decisions[4]["figures"]["canary"]["requests"] > 0


def test_errors_roll_back_long_before_the_watch_is_over(start: Start) -> None:
    run = start(World(canary=Behaviour(error_ratio=0.05)))
    state = run.walk().run()
    assert state.outcome is Outcome.ROLLED_BACK
    assert run.world.acts == ["begin", "5 %", "roll back"]
    assert run.world.now_s <= 10 * 60
    assert "error rate: FAIL" in run.log("rolled back")[0]["reason"]
    assert state.failures[0].startswith("at 5 %: error rate: FAIL")


def test_latency_creep_is_held_at_its_step_and_stays_failed(start: Start) -> None:
    run = start(World(canary=Behaviour(slow_ratio=0.2)))
    state = run.walk().run()
    assert state.outcome is Outcome.HELD
    assert run.world.acts == ["begin", "5 %"]
    assert run.world.now_s == pytest.approx(30 * 60, rel=0.05)
    assert "P95: FAIL" in state.reason

    # It looks good now: that alone undoes nothing.
    run.world.canary.slow_ratio = 0.0
    with pytest.raises(FailedPrecondition, match="analysis failed at 5 %"):
        resumable(run.file.read(), "")
    run.file.begin(resumable(run.file.read(), "nprobe from 32 to 16"))
    assert run.walk().run().outcome is Outcome.PROMOTED
    # The failure stays in the log.
    assert run.log("decision")[0]["verdict"] == "FAIL"


def test_without_callers_it_holds_and_never_advances(start: Start) -> None:
    run = start(World(requests_a_second=0.0))
    state = run.walk().run()
    assert (state.outcome, state.verdict) == (Outcome.HELD, "INCONCLUSIVE")
    assert run.world.acts == ["begin", "5 %"]
    assert run.world.now_s == pytest.approx(PLAN.hold_s + 30 * 60, rel=0.01)
    assert state.failures == ()
    assert "requests: INCONCLUSIVE, 0" in state.reason


def test_callers_that_leave_in_the_middle_keep_it_from_advancing(start: Start) -> None:
    world = World()
    world.events.append((15 * 60, lambda: setattr(world, "requests_a_second", 0.0)))
    run = start(world)
    state = run.walk().run()
    assert (state.outcome, state.verdict) == (Outcome.HELD, "INCONCLUSIVE")
    assert "recent requests" in state.reason
    assert run.world.acts == ["begin", "5 %"]


def test_callers_that_come_late_are_waited_for(start: Start) -> None:
    world = World(requests_a_second=0.0)
    world.events.append((3600.0, lambda: setattr(world, "requests_a_second", 50.0)))
    run = start(world)
    assert run.walk().run().outcome is Outcome.PROMOTED
    waiting = [entry for entry in run.log("decision") if entry["action"] == "watch on"]
    assert {entry["verdict"] for entry in waiting} == {"INCONCLUSIVE"}
    assert waiting


def test_figures_that_are_lost_for_long_stop_it(start: Start) -> None:
    world = World()
    world.events.append((60.0, lambda: setattr(world, "is_reachable", False)))
    run = start(world)
    state = run.walk().run()
    assert (state.outcome, state.verdict) == (Outcome.HELD, "ERROR")
    assert "connection refused" in state.reason
    assert run.world.now_s <= 20 * 60


def test_figures_that_are_lost_for_a_moment_do_not(start: Start) -> None:
    world = World()
    world.events.append((900.0, lambda: setattr(world, "is_reachable", False)))
    world.events.append((1500.0, lambda: setattr(world, "is_reachable", True)))
    run = start(world)
    assert run.walk().run().outcome is Outcome.PROMOTED
    assert "ERROR" in {entry["verdict"] for entry in run.log("decision")}


def test_far_worse_answers_roll_back_once_they_are_judged(start: Start) -> None:
    run = start(World(canary=Behaviour(confident_ratio=0.3)))
    state = run.walk().run()
    assert state.outcome is Outcome.ROLLED_BACK
    assert run.world.acts == ["begin", "5 %", "25 %", "roll back"]
    assert "confident answers: FAIL" in state.reason


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (Interval(-3.0, -3.5, -2.5), Outcome.HELD),
        (Interval(-7.0, -8.0, -6.0), Outcome.HELD),
        (Interval(-30.0, -35.0, -25.0), Outcome.ROLLED_BACK),
    ],
)
def test_worse_quality_on_the_query_set_ends_it_at_50_percent(
    start: Start, change: Interval, outcome: Outcome
) -> None:
    run = start(World(quality={"q": PairedChange(change, 300)}))
    state = run.walk().run()
    assert state.outcome is outcome
    assert run.world.acts[:4] == ["begin", "5 %", "25 %", "50 %"]
    assert "R@5 on q: FAIL" in state.reason


def test_quality_that_cannot_be_measured_advances_nothing(start: Start) -> None:
    run = start(World(quality=Unavailable("the gateway is gone")))
    state = run.walk().run()
    assert (state.outcome, state.verdict) == (Outcome.HELD, "ERROR")
    assert "the gateway is gone" in state.reason
    assert run.world.percent == 50


def test_quality_is_measured_once_and_not_until_it_passes(start: Start) -> None:
    measured: list[float] = []

    class Fickle:
        def measure(self, percent: float) -> Mapping[str, PairedChange]:
            measured.append(percent)
            spans = PairedChange(Interval(-2.0, -4.0, 0.0), 300)
            return {"q": spans if len(measured) == 1 else SAME}

    run = start(World())
    run.paired = Fickle()
    state = run.walk().run()
    assert (state.outcome, state.verdict) == (Outcome.HELD, "INCONCLUSIVE")
    assert measured == [50]


def test_an_interrupted_rollout_goes_on_at_its_step(start: Start) -> None:
    class Killed(Exception):
        pass

    def die() -> None:
        raise Killed

    world = World()
    world.events.append((3 * 3600.0, die))
    run = start(world)
    with pytest.raises(Killed):
        run.walk().run()
    interrupted = run.file.read()
    assert (interrupted.step, interrupted.outcome) == (1, Outcome.RUNNING)
    run.file.begin(resumable(interrupted, ""))
    assert run.walk().run().outcome is Outcome.PROMOTED
    assert world.acts == ["begin", "5 %", "25 %", "begin", "25 %", "50 %", "100 %", "promote"]


def test_the_last_step_is_held_against_what_the_baseline_did_before(start: Start) -> None:
    run = start(World())
    run.walk().run()
    assert run.file.read().reference.requests > 0
    last = run.log("decision")[-1]
    assert last["figures"]["baseline"]["requests"] == 0
    gates = {gate["gate"]: gate["verdict"] for gate in last["gates"]}
    assert gates["error rate"] == gates["P95 against baseline"] == "PASS"


def test_an_abort_from_outside_stops_the_walk(start: Start) -> None:
    world = World()
    run = start(world)

    def abort() -> None:
        run.walk().abort("a bad feeling")

    world.events.append((3 * 3600.0, abort))
    with pytest.raises(FailedPrecondition, match="aborted"):
        run.walk().run()
    assert world.acts == ["begin", "5 %", "25 %", "roll back"]
    assert run.file.read().outcome is Outcome.ABORTED
    assert run.log("aborted")[0]["reason"] == "a bad feeling"


@pytest.mark.parametrize(
    ("declined", "acts"),
    [
        ("start v0", []),
        ("send 25 %", ["begin", "5 %"]),
        ("make v0 the baseline", ["begin", "5 %", "25 %", "50 %", "100 %"]),
    ],
)
def test_what_is_declined_is_not_done(tmp_path: Path, declined: str, acts: list[str]) -> None:
    run = Run(tmp_path, World(), confirm=lambda what: not what.startswith(declined))
    state = run.walk().run()
    assert (state.outcome, state.verdict) == (Outcome.HELD, "INCONCLUSIVE")
    assert run.world.acts == acts
    assert "declined" in state.reason


def test_a_declined_rollback_holds_and_says_why_it_was_asked_for(tmp_path: Path) -> None:
    world = World(canary=Behaviour(error_ratio=0.05))
    run = Run(tmp_path, world, confirm=lambda what: not what.startswith("roll back"))
    state = run.walk().run()
    assert state.outcome is Outcome.HELD
    assert world.acts == ["begin", "5 %"]
    assert "error rate: FAIL" in state.reason
    assert state.failures


def test_the_log_is_only_ever_appended(start: Start) -> None:
    run = start(World())
    run.walk().run()
    before = run.file.log_path.read_bytes()
    run.file.begin(replace(run.file.read(), step=3, outcome=Outcome.RUNNING))
    run.walk().run()
    assert run.file.log_path.read_bytes().startswith(before)


class ByChance(World):
    """The same, but every count is drawn: a rate is what it is on average alone."""

    def draw_from(self, seed: int) -> ByChance:
        self._generator = np.random.default_rng(seed)
        return self

    def _count(self, arm: str, requests: float, how: Behaviour) -> None:
        arrived = int(self._generator.poisson(requests))
        if not arrived:
            return
        failed = self._generator.binomial(arrived, how.error_ratio)
        slow = self._generator.binomial(arrived, how.slow_ratio)
        confident = self._generator.binomial(arrived, how.confident_ratio)
        drawn = Behaviour(failed / arrived, slow / arrived, confident / arrived)
        super()._count(arm, arrived, drawn)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("error_ratio", "outcome"), [(0.001, Outcome.PROMOTED), (0.005, Outcome.ROLLED_BACK)]
)
def test_chance_neither_stops_a_good_canary_nor_saves_a_bad_one(
    start: Start, seed: int, error_ratio: float, outcome: Outcome
) -> None:
    normal = Behaviour(error_ratio=0.001, slow_ratio=0.03)
    world = ByChance(canary=replace(normal, error_ratio=error_ratio), baseline=normal).draw_from(
        seed
    )
    assert start(world).walk().run().outcome is outcome


def test_both_arms_are_reached_by_keys_of_their_own() -> None:
    canary, baseline = Arm(CANARY, "v0", 50), Arm(BASELINE, "v-1", 50)
    assert canary.routing_key != baseline.routing_key
    for arm in (Arm(BASELINE, "v-1", 100), Arm(CANARY, "v0", 0)):
        with pytest.raises(FailedPrecondition, match=f"nobody is on the {arm.name}"):
            _ = arm.routing_key
