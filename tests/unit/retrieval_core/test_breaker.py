"""Setting a target aside, and giving it another chance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retrieval_core.breaker import Breaker


def opened(threshold: int = 3) -> Breaker:
    breaker = Breaker(threshold)
    for _ in range(threshold):
        breaker.record_failure()
    return breaker


def test_it_opens_at_the_threshold_and_says_so_once() -> None:
    breaker = Breaker(3)
    assert [breaker.record_failure() for _ in range(5)] == [False, False, True, False, False]
    assert breaker.is_open


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = Breaker(2)
    breaker.record_failure()
    breaker.record_success()
    breaker.record_failure()
    assert not breaker.is_open


def test_a_trial_lets_requests_through_until_the_first_failure() -> None:
    breaker = opened()
    breaker.allow_trial()
    assert not breaker.is_open
    assert breaker.record_failure() is False
    assert breaker.is_open


def test_a_success_on_trial_brings_the_whole_patience_back() -> None:
    breaker = opened()
    breaker.allow_trial()
    breaker.record_success()
    breaker.record_failure()
    assert not breaker.is_open


def test_a_success_of_a_call_that_was_under_way_closes_it() -> None:
    breaker = opened()
    breaker.record_success()
    assert not breaker.is_open


def test_a_trial_of_a_closed_breaker_changes_nothing() -> None:
    breaker = Breaker(3)
    breaker.allow_trial()
    breaker.record_failure()
    assert not breaker.is_open


@given(st.integers(1, 6), st.lists(st.booleans(), max_size=40))
def test_without_trials_it_is_open_exactly_after_enough_failures_in_a_row(
    threshold: int, successes: list[bool]
) -> None:
    breaker = Breaker(threshold)
    in_a_row = 0
    for success in successes:
        if success:
            breaker.record_success()
            in_a_row = 0
        else:
            breaker.record_failure()
            in_a_row += 1
        assert breaker.is_open == (in_a_row >= threshold)
