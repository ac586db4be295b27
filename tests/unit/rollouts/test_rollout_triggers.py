from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval_core.errors import Unavailable
from rollouts.counts import BASELINE, CANARY, DURATION_BUCKETS, REQUESTS, ArmWindow, Key, Reading
from rollouts.guarding import Guard, quality_drop_pp
from rollouts.log import RolloutLog
from rollouts.plan import TriggerLimits
from rollouts.triggers import Measured, Watch, measure_quality, measure_service
from tests.unit.rollouts.arms import arm, window

LIMITS = TriggerLimits(hold_s=600)


def measured(figure: float | None) -> list[Measured]:
    return [Measured("error rate", "baseline", figure, 1.0, "%")]


def test_a_condition_fires_once_it_has_held_for_its_time() -> None:
    watch = Watch(hold_s=600)
    assert watch.look(0, measured(2.0)) == []
    assert watch.look(599, measured(2.0)) == []
    (fired,) = watch.look(600, measured(3.0))
    assert fired.held_s == 600
    assert fired.describe() == "error rate of the baseline above 1 % for 600 s, now 3 %"


def test_a_break_starts_the_time_anew() -> None:
    for between in (0.5, None):
        watch = Watch(hold_s=600)
        watch.look(0, measured(2.0))
        watch.look(300, measured(between))
        assert watch.look(600, measured(2.0)) == []
        assert watch.look(1200, measured(2.0)) != []


def test_arms_are_told_apart() -> None:
    watch = Watch(hold_s=10)
    bad = Measured("P95", "canary", 30.0, 20.0, "ms")
    watch.look(0, [bad, *measured(0.0)])
    (fired,) = watch.look(10, [bad, *measured(0.0)])
    assert fired.measured.arm == "canary"


def test_the_three_conditions_are_measured() -> None:
    found = {
        (one.condition, one.arm): one
        for one in measure_service(window(arm(failed=200), arm(slower_than_20ms=0.2)), LIMITS)
    }
    assert found["error rate", "canary"].is_exceeded is True
    assert found["error rate", "baseline"].is_exceeded is False
    assert found["P95", "canary"].is_exceeded is False
    assert found["P95", "baseline"].is_exceeded is True
    assert measure_quality(12.0, LIMITS).is_exceeded is True
    assert measure_quality(9.0, LIMITS).is_exceeded is False
    assert measure_quality(None, LIMITS).is_exceeded is None


def test_an_arm_without_requests_is_not_measured() -> None:
    found = measure_service(window(ArmWindow(), arm(requests=49, failed=49)), LIMITS)
    assert {one.is_exceeded for one in found} == {None}


@dataclass
class Service:
    """A service whose counters grow as told, a minute a reading."""

    per_minute: dict[str, tuple[float, float]]
    at_s: float = 0.0
    is_reachable: bool = True
    name: str = "service"
    _counters: dict[Key, float] = field(default_factory=dict)

    def read(self) -> Reading:
        if not self.is_reachable:
            raise Unavailable("gone")
        self.at_s += 60.0
        for its_arm, (ok, failed) in self.per_minute.items():
            for series, part, count in (
                (REQUESTS, "ok", ok),
                (REQUESTS, "error", failed),
                (DURATION_BUCKETS, "0.01", ok),
                (DURATION_BUCKETS, "+Inf", ok),
            ):
                key = (series, its_arm, part)
                self._counters[key] = self._counters.get(key, 0.0) + count
        return Reading(self.at_s, {"a": dict(self._counters)})


@dataclass
class Rescue:
    done: list[str] = field(default_factory=list)

    def drop_canary(self) -> None:
        self.done.append("drop canary")

    def roll_back(self) -> str:
        self.done.append("roll back")
        return "v-1"


def guard(service: Service, rescue: Rescue | None, tmp_path: Path, drop: float = 0.0) -> Guard:
    log = RolloutLog(tmp_path / "watch.jsonl", "", lambda: "now")
    return Guard(LIMITS, service, lambda: drop, log, rescue)


def log_of(tmp_path: Path) -> list[dict[str, Any]]:
    lines: Iterator[str] = iter((tmp_path / "watch.jsonl").read_text().splitlines())
    return [json.loads(line) for line in lines]


def test_errors_of_the_baseline_roll_back_after_ten_minutes(tmp_path: Path) -> None:
    service, rescue = Service({BASELINE: (1000, 20)}), Rescue()
    watching = guard(service, rescue, tmp_path)
    looks = 0
    while not rescue.done:
        watching.look()
        looks += 1
    assert rescue.done == ["roll back"]
    # Two readings make the first window, which then has to hold for ten minutes.
    assert looks == 12
    assert [entry["event"] for entry in log_of(tmp_path)] == ["trigger", "rolled back"]
    assert "error rate of the baseline above 1 %" in log_of(tmp_path)[0]["reason"]
    # What is served now has its own ten minutes.
    for _ in range(11):
        assert watching.look() == []


def test_errors_of_the_canary_alone_cost_the_canary_alone(tmp_path: Path) -> None:
    rescue = Rescue()
    watching = guard(Service({BASELINE: (1000, 0), CANARY: (60, 6)}), rescue, tmp_path)
    for _ in range(12):
        watching.look()
    assert rescue.done == ["drop canary"]


def test_a_service_within_its_limits_is_left_alone(tmp_path: Path) -> None:
    rescue = Rescue()
    watching = guard(Service({BASELINE: (1000, 5)}), rescue, tmp_path, drop=9.0)
    assert [watching.look() for _ in range(30)] == [[]] * 30
    assert rescue.done == []


def test_a_drop_of_quality_rolls_back(tmp_path: Path) -> None:
    rescue = Rescue()
    watching = guard(Service({BASELINE: (1000, 0)}), rescue, tmp_path, drop=12.0)
    for _ in range(11):
        watching.look()
    assert rescue.done == ["roll back"]
    assert "R@5 drop" in log_of(tmp_path)[0]["reason"]


def test_without_leave_to_act_it_only_says_so(tmp_path: Path) -> None:
    watching = guard(Service({BASELINE: (1000, 50)}), None, tmp_path)
    fired = [one for _ in range(12) for one in watching.look()]
    assert len(fired) == 1
    assert [entry["acted"] for entry in log_of(tmp_path)] == [False]


def test_figures_that_cannot_be_had_are_said_and_fire_nothing(tmp_path: Path) -> None:
    service = Service({BASELINE: (1000, 50)}, is_reachable=False)
    watching = guard(service, Rescue(), tmp_path)
    assert watching.look() == []
    assert log_of(tmp_path)[0]["event"] == "cannot measure"


def test_the_drop_is_read_from_what_the_nightly_evaluation_wrote(tmp_path: Path) -> None:
    path = tmp_path / "quality.prom"
    assert quality_drop_pp(path) is None
    path.write_text(
        'retrieval_quality_drop_points{set="a",measure="R@5",against="baseline"} 3.0\n'
        'retrieval_quality_drop_points{set="b",measure="R@5",against="baseline"} 11.5\n'
        'retrieval_quality_drop_points{set="b",measure="MRR",against="baseline"} 40.0\n'
        'retrieval_quality_drop_points{set="b",measure="R@5",against="previous"} 50.0\n'
    )
    assert quality_drop_pp(path) == 11.5
