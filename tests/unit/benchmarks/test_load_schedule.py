from __future__ import annotations

import itertools
import statistics

import pytest

from benchmarks.load.schedule import Arrivals, cycled, dealt, due_offsets_ns


def test_even_arrivals_are_one_period_apart_and_begin_at_once() -> None:
    offsets = due_offsets_ns(4.0, 2.0, Arrivals.EVEN, seed=1)
    assert offsets == [index * 250_000_000 for index in range(8)]


def test_poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() -> None:
    offsets = due_offsets_ns(100.0, 200.0, Arrivals.POISSON, seed=1)
    gaps = [later - earlier for earlier, later in itertools.pairwise(offsets)]
    # 20,000 gaps: the standard error of the mean is 0.7 %, of the deviation about 1.4 %.
    assert statistics.fmean(gaps) == pytest.approx(1e7, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(1e7, rel=0.05)


def test_poisson_offsets_rise_within_the_duration() -> None:
    offsets = due_offsets_ns(50.0, 3.0, Arrivals.POISSON, seed=2)
    assert offsets == sorted(offsets)
    assert all(0 <= offset < 3_000_000_000 for offset in offsets)


def test_a_seed_decides_everything() -> None:
    first, again, other = (
        due_offsets_ns(50.0, 3.0, Arrivals.POISSON, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(("rate", "duration"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_a_rate_and_a_duration_are_above_zero(rate: float, duration: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        due_offsets_ns(rate, duration, Arrivals.EVEN, seed=1)


def test_dealing_keeps_every_item_once_and_every_hand_about_as_full() -> None:
    hands = dealt(range(10), 3)
    assert sorted(item for hand in hands for item in hand) == list(range(10))
    assert [len(hand) for hand in hands] == [4, 3, 3]


def test_a_short_list_starts_over_and_counts_its_rounds() -> None:
    assert cycled("ab", 5) == [(0, "a"), (0, "b"), (1, "a"), (1, "b"), (2, "a")]
    with pytest.raises(ValueError, match="nothing"):
        cycled([], 1)
