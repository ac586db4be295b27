"""Which answers count, what is missing, and when there is no answer at all."""

from __future__ import annotations

import pytest

from gateway.fanout import ShardOutcome
from gateway.ports import ShardAnswer
from gateway.settling import CorpusView, check_lanes_known, settle_outcomes
from gateway.targets import missing_reason, public_detail
from retrieval_core.coverage import MissingReason, MissingShard
from retrieval_core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    InvalidInput,
    Overloaded,
    RetrievalError,
    Unavailable,
)
from tests.support.gateway_ports import answer_of

VIEW = CorpusView("r1", 2, {"shard-0": ("news",), "shard-1": ("news", "help")})
MISMATCH = FailedPrecondition("other vectors", reason="FINGERPRINT_MISMATCH")


def answered(index: int, answer: ShardAnswer | None = None) -> ShardOutcome:
    return ShardOutcome(f"shard-{index}", answer=answer or answer_of([(index, 0.5)]))


def failed(index: int, error: RetrievalError) -> ShardOutcome:
    name = f"shard-{index}"
    missing = MissingShard(name, missing_reason(error), public_detail(error))
    return ShardOutcome(name, missing=missing, error=error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeadlineExceeded("late"), MissingReason.TIMED_OUT),
        (Unavailable("gone"), MissingReason.UNREACHABLE),
        (Overloaded("full"), MissingReason.OVERLOADED),
        (InternalError("oops"), MissingReason.FAILED),
        (MISMATCH, MissingReason.FAILED),
    ],
)
def test_the_ways_to_be_missing_are_told_apart(
    error: RetrievalError, reason: MissingReason
) -> None:
    settled = settle_outcomes([answered(0), failed(1, error)], VIEW, 0.25)
    assert settled.coverage.ratio == 0.5
    assert settled.coverage.missing[0].target == "shard-1"
    assert settled.coverage.missing[0].reason is reason


def test_the_text_of_an_internal_error_stays_inside() -> None:
    settled = settle_outcomes([answered(0), failed(1, InternalError("secret"))], VIEW, 0.25)
    assert "secret" not in settled.coverage.missing[0].detail


def test_all_answers_are_complete_coverage() -> None:
    settled = settle_outcomes([answered(0), answered(1)], VIEW, 1.0)
    assert settled.coverage.is_complete
    assert settled.release_id == "r1"
    assert len(settled.answers) == 2


def test_a_shard_without_an_address_is_missing() -> None:
    view = CorpusView("r1", 4, {})
    settled = settle_outcomes([answered(0), answered(1)], view, 0.25)
    assert settled.coverage.ratio == 0.5
    assert [shard.target for shard in settled.coverage.missing] == ["shard-2", "shard-3"]


def test_below_the_minimum_is_unavailable() -> None:
    with pytest.raises(Unavailable) as caught:
        settle_outcomes([answered(0), failed(1, Unavailable("gone"))], VIEW, 0.6)
    assert caught.value.reason == "COVERAGE_TOO_LOW"
    assert "shard-1 UNREACHABLE" in caught.value.message


@pytest.mark.parametrize("error", [Unavailable("gone"), DeadlineExceeded("late")])
def test_no_answer_is_unavailable_even_when_partial_answers_are_allowed(
    error: RetrievalError,
) -> None:
    with pytest.raises(Unavailable) as caught:
        settle_outcomes([failed(0, error), failed(1, error)], VIEW, 0.0)
    assert caught.value.reason == "NO_SHARD_ANSWERED"


@pytest.mark.parametrize(
    "error", [MISMATCH, Overloaded("full"), InvalidInput("nprobe", "is above nlist")]
)
def test_what_all_shards_say_is_what_the_caller_hears(error: RetrievalError) -> None:
    with pytest.raises(type(error)) as caught:
        settle_outcomes([failed(0, error), failed(1, error)], VIEW, 0.25)
    assert caught.value.reason == error.reason


def test_shards_that_disagree_are_unavailable() -> None:
    with pytest.raises(Unavailable):
        settle_outcomes([failed(0, MISMATCH), failed(1, Overloaded("full"))], VIEW, 0.25)


def test_one_answer_is_of_one_release() -> None:
    outcomes = [
        answered(0, answer_of([(0, 0.5)], release_id="r2")),
        answered(1),
        answered(2, answer_of([(2, 0.5)], release_id="r2")),
    ]
    settled = settle_outcomes(outcomes, CorpusView("r1", 3, {}), 0.25)
    assert settled.release_id == "r2"
    assert settled.coverage.missing[0].target == "shard-1"
    assert settled.coverage.missing[0].reason is MissingReason.FAILED
    assert "RELEASE_MISMATCH" in settled.coverage.missing[0].detail


@pytest.mark.parametrize("current", ["r1", "r2"])
def test_a_tie_of_releases_goes_to_the_current_one(current: str) -> None:
    outcomes = [answered(0), answered(1, answer_of([(1, 0.5)], release_id="r2"))]
    assert settle_outcomes(outcomes, CorpusView(current, 2, {}), 0.25).release_id == current


def test_a_lane_that_some_shard_knows_is_no_error() -> None:
    outcomes = [answered(0, answer_of([], unknown_lanes=("help",))), answered(1)]
    check_lanes_known(("help",), settle_outcomes(outcomes, VIEW, 0.25), VIEW)


def test_a_lane_that_no_shard_knows_is_named_by_its_index() -> None:
    unknown = answer_of([], unknown_lanes=("nope",))
    settled = settle_outcomes([answered(0, unknown), answered(1, unknown)], VIEW, 0.25)
    with pytest.raises(InvalidInput) as caught:
        check_lanes_known(("news", "nope"), settled, VIEW)
    assert caught.value.violations[0].field == "lanes[1]"
    assert caught.value.reason == "UNKNOWN_LANE"


def test_a_lane_that_only_a_missing_shard_has_is_no_error() -> None:
    unknown = answered(0, answer_of([], unknown_lanes=("help",)))
    settled = settle_outcomes([unknown, failed(1, Unavailable("gone"))], VIEW, 0.25)
    check_lanes_known(("help",), settled, VIEW)


def test_a_lane_that_no_shard_has_is_an_error_with_one_missing_too() -> None:
    unknown = answered(0, answer_of([], unknown_lanes=("nope",)))
    settled = settle_outcomes([unknown, failed(1, Unavailable("gone"))], VIEW, 0.25)
    with pytest.raises(InvalidInput):
        check_lanes_known(("nope",), settled, VIEW)


def test_a_missing_shard_that_was_never_seen_may_know_any_lane() -> None:
    view = CorpusView("r1", 2, {"shard-0": ("news",)})
    unknown = answered(0, answer_of([], unknown_lanes=("nope",)))
    settled = settle_outcomes([unknown, failed(1, Unavailable("gone"))], view, 0.25)
    check_lanes_known(("nope",), settled, view)
