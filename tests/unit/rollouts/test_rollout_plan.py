from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from retrieval_core.errors import DamagedArtifact, FailedPrecondition, InvalidInput, NotFound
from rollouts.plan import HOUR_S, MINUTE_S, Limits, Plan, Step, parse_plan, read_plan
from rollouts.state import Outcome, RolloutState, StateFile, newest_rollout, only_runner
from rollouts.walking import resumable
from tests.unit.rollouts.arms import arm


def test_the_plan_is_the_checklists_48_hours() -> None:
    steps = Plan().steps
    assert [step.percent for step in steps] == [5, 25, 50, 100]
    begins = [sum(step.until_s for step in steps[:place]) / HOUR_S for place in range(5)]
    assert begins == [0, 2, 6, 24, 48]
    decided = [begin + step.watch_s / HOUR_S for begin, step in zip(begins, steps, strict=False)]
    assert decided == [0.5, 3, 8, 48]
    assert [step.quality for step in steps] == [False, False, True, False]


def test_the_limits_are_those_of_the_design() -> None:
    limits, triggers = Limits(), Plan().triggers
    assert (limits.error_rise_pp, limits.p95_ms, limits.p95_rise_ratio) == (0.2, 10.0, 1.15)
    assert (limits.near_duplicate_ratio, limits.quality_drop_pp) == (0.03, 2.0)
    assert (triggers.error_ratio, triggers.p95_ms, triggers.quality_drop_pp) == (0.01, 20.0, 10.0)
    assert triggers.hold_s == 10 * MINUTE_S


def test_48_hours_fit_into_5_minutes() -> None:
    scaled = Plan().scaled(576)
    assert sum(step.until_s for step in scaled.steps) == pytest.approx(300)
    assert scaled.triggers.hold_s == pytest.approx(600 / 576)
    assert scaled.limits == Plan().limits
    # The looks themselves do not get faster than the gateways can bear.
    assert scaled.check_every_s == 0.5
    assert Plan().scaled(60).check_every_s == 1.0
    assert Plan().scaled(2).check_every_s == 30.0
    with pytest.raises(InvalidInput, match="--time-scale"):
        Plan().scaled(0)


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    steps = [
        {"percent": 10, "watch_s": 60, "until_s": 60},
        {"percent": 100, "watch_s": 60, "until_s": 120, "quality": True},
    ]
    path.write_text(json.dumps({"steps": steps, "limits": {"p95_ms": 25}, "check_every_s": 5}))
    plan = read_plan(path)
    assert plan.steps == (Step(10, 60, 60), Step(100, 60, 120, quality=True))
    assert plan.limits == replace(Limits(), p95_ms=25)
    assert plan.check_every_s == 5
    assert plan.hold_s == Plan().hold_s


def test_a_plan_survives_the_way_to_json_and_back() -> None:
    plan = replace(Plan(), limits=Limits(p95_ms=12.5))
    assert parse_plan(json.loads(json.dumps(asdict(plan)))) == plan


STEP = {"percent": 100, "watch_s": 1, "until_s": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "plan.*JSON object"),
        ({"stepz": []}, r"plan\.stepz.*unknown"),
        ({"steps": []}, r"plan\.steps"),
        ({"steps": [{"percent": 100}]}, r"plan\.steps\[0\].*lacks until_s, watch_s"),
        ({"steps": [{**STEP, "percent": 50}]}, "must rise and end with 100"),
        ({"steps": [STEP, {**STEP, "percent": 20}]}, "must rise and end with 100"),
        ({"steps": [{**STEP, "until_s": 0}]}, r"plan\.steps\[0\]\.until_s"),
        ({"steps": [{**STEP, "quality": 1}]}, r"quality.*true or false"),
        ({"limits": {"p95": 1}}, r"plan\.limits\.p95.*unknown"),
        ({"limits": {"p95_ms": "10"}}, r"plan\.limits\.p95_ms.*'10'"),
        ({"triggers": {"hold_s": -1}}, r"plan\.triggers\.hold_s"),
        ({"check_every_s": True}, "check_every_s"),
    ],
)
def test_a_wrong_plan_names_the_field(content: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        parse_plan(content)
    assert caught.value.violations


def test_a_plan_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.json"):
        read_plan(tmp_path / "none.json")


def state(**changes: Any) -> RolloutState:
    return replace(RolloutState("v0", "v-1", "2026-01-01T00:00:00Z", Plan()), **changes)


def test_a_state_survives_the_way_to_disk_and_back(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "v0")
    with pytest.raises(NotFound, match="v0"):
        file.read()
    written = state(step=2, failures=("at 25 %: slow",), reference=arm(), time_scale=576.0)
    file.begin(written)
    assert file.read() == written
    assert newest_rollout(tmp_path).release == "v0"


@pytest.mark.parametrize("content", ["", "[]", '{"format": "other/1"}'])
def test_a_file_that_is_no_rollout_is_an_error(tmp_path: Path, content: str) -> None:
    file = StateFile(tmp_path, "v0")
    file.path.write_text(content)
    with pytest.raises(DamagedArtifact, match="v0"):
        file.read()


def test_a_rollout_that_was_ended_cannot_be_written_over(tmp_path: Path) -> None:
    file = StateFile(tmp_path, "v0")
    file.begin(state())
    file.save(state(outcome=Outcome.ABORTED))
    with pytest.raises(FailedPrecondition, match="aborted"):
        file.save(state(step=1))
    assert file.read().outcome is Outcome.ABORTED


def test_two_processes_never_walk_at_once(tmp_path: Path) -> None:
    with (
        only_runner(tmp_path),
        pytest.raises(FailedPrecondition, match="another process"),
        only_runner(tmp_path),
    ):
        pass
    with only_runner(tmp_path):
        pass


def test_a_failed_analysis_needs_a_reason_to_be_begun_anew() -> None:
    held = state(outcome=Outcome.HELD, failures=("at 25 %: slow",))
    with pytest.raises(FailedPrecondition, match=r"at 25 %: slow.*--retry"):
        resumable(held, "")
    assert resumable(held, "nprobe lowered").outcome is Outcome.RUNNING
    assert resumable(held, "nprobe lowered").failures == ()
    assert resumable(state(outcome=Outcome.HELD), "").outcome is Outcome.RUNNING


@pytest.mark.parametrize("outcome", [Outcome.PROMOTED, Outcome.ROLLED_BACK, Outcome.ABORTED])
def test_what_has_ended_is_not_resumed(outcome: Outcome) -> None:
    with pytest.raises(FailedPrecondition, match=outcome.value):
        resumable(state(outcome=outcome), "anyway")
