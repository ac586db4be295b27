"""Decisions about time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retrieval_core.budget import RecentDuration, bounded_timeout_ns, grace_ns

Nanoseconds = st.integers(0, 10**10)


def test_before_any_sample_the_expectation_counts() -> None:
    recent = RecentDuration(2_000_000)
    assert recent.upper_ns == recent.mean_ns == 2_000_000


def test_a_steady_duration_is_learnt_and_the_margin_closes() -> None:
    recent = RecentDuration(2_000_000)
    for _ in range(100):
        recent.add_ns(500_000)
    assert abs(recent.mean_ns - 500_000) < 1000
    assert recent.upper_ns < 501_000


@given(st.lists(Nanoseconds, min_size=1, max_size=50))
def test_the_mean_stays_within_the_samples_and_below_the_upper(samples: list[int]) -> None:
    recent = RecentDuration(1)
    for sample in samples:
        recent.add_ns(sample)
    assert min(samples) - 1 <= recent.mean_ns <= max(samples) + 1
    assert recent.upper_ns >= recent.mean_ns


def test_a_slow_spell_raises_the_upper_at_once_and_is_forgotten_without_samples() -> None:
    recent = RecentDuration(1_000_000)
    for _ in range(20):
        recent.add_ns(1_000_000)
    recent.add_ns(50_000_000)
    assert recent.upper_ns > 20_000_000
    for _ in range(40):
        recent.forget()
    assert recent.upper_ns < 1_000_000


@given(Nanoseconds, st.integers(-(10**9), 10**10), Nanoseconds)
def test_a_timeout_respects_the_limit_and_leaves_the_reserve(
    limit_ns: int, left_ns: int, reserve_ns: int
) -> None:
    timeout_ns = bounded_timeout_ns(limit_ns, left_ns, reserve_ns)
    assert 0 <= timeout_ns <= limit_ns
    assert timeout_ns == 0 or left_ns - timeout_ns >= reserve_ns


def test_a_timeout_is_the_limit_while_time_abounds() -> None:
    assert bounded_timeout_ns(50, 1000, 100) == 50
    assert bounded_timeout_ns(50, 120, 100) == 20


def test_the_grace_follows_the_others_down_to_its_floor() -> None:
    assert grace_ns(30, 4.0, 5) == 30
    assert grace_ns(30, 4.0, 20) == 80
