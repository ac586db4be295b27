"""How complete an answer is."""

from __future__ import annotations

import pytest

from retrieval_core.coverage import (
    Coverage,
    DegradationStep,
    MissingReason,
    MissingShard,
    partial_coverage,
)

SLOW = MissingShard("shard-1", MissingReason.TIMED_OUT)
GONE = MissingShard("shard-2", MissingReason.UNREACHABLE)


@pytest.mark.parametrize(
    ("coverage", "answered", "ratio", "complete"),
    [
        (Coverage(2), 2, 1.0, True),
        (Coverage(2, (SLOW,)), 1, 0.5, False),
        (Coverage(2, (SLOW, GONE)), 0, 0.0, False),
        (Coverage(0), 0, 0.0, False),
    ],
)
def test_coverage_counts_what_answered(
    coverage: Coverage, answered: int, ratio: float, complete: bool
) -> None:
    assert coverage.answered == answered
    assert coverage.ratio == ratio
    assert coverage.is_complete is complete


def test_complete_coverage_is_no_degradation() -> None:
    assert partial_coverage(Coverage(3)) is None


def test_missing_shards_that_agree_give_their_reason() -> None:
    degradation = partial_coverage(Coverage(3, (SLOW,)))
    assert degradation is not None
    assert degradation.step is DegradationStep.PARTIAL_COVERAGE
    assert degradation.reason == "SHARDS_TIMED_OUT"
    assert degradation.detail == "shard-1: TIMED_OUT"


def test_missing_shards_that_differ_are_listed() -> None:
    degradation = partial_coverage(Coverage(3, (SLOW, GONE)))
    assert degradation is not None
    assert degradation.reason == "SHARDS_MISSING"
    assert degradation.detail == "shard-1: TIMED_OUT, shard-2: UNREACHABLE"
