"""Intervals cover what they promise, shrink with pairing, and widen with groups."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.intervals import Bootstrap, Interval, Verdict, bootstrap_mean, paired_difference


def test_the_interval_of_a_mean_is_close_to_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 2000)
    interval = bootstrap_mean(values)
    half_width = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.mean == pytest.approx(values.mean())
    # 2,000 resamples estimate a 2.5 % quantile within a few percent of the half width.
    assert interval.low == pytest.approx(values.mean() - half_width, abs=0.1 * half_width)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=0.1 * half_width)


def test_intervals_cover_the_truth_about_as_often_as_stated() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        values = generator.binomial(1, 0.3, 150).astype(np.float64)
        interval = bootstrap_mean(values, bootstrap=Bootstrap(resamples=400))
        covered += interval.low <= 0.3 <= interval.high
    # 95 % of 200 is 190, with a standard deviation of 3.
    assert 178 <= covered <= 199


def test_pairing_removes_what_both_runs_share() -> None:
    generator = np.random.default_rng(3)
    before = generator.uniform(0, 1, 500)
    after = before + generator.normal(0.02, 0.05, 500)
    paired = paired_difference(before, after)
    unpaired = bootstrap_mean(after)
    assert paired.low > 0.0
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 3


def test_queries_of_one_group_do_not_count_as_independent() -> None:
    generator = np.random.default_rng(4)
    by_group = generator.uniform(0, 1, 40)
    values = np.repeat(by_group, 25)
    groups = [f"article {number}" for number in range(40) for _ in range(25)]
    grouped = bootstrap_mean(values, groups)
    alone = bootstrap_mean(values)
    ratio = (grouped.high - grouped.low) / (alone.high - alone.low)
    # Identical values in groups of 25 widen the interval by the square root of 25.
    assert ratio == pytest.approx(5.0, rel=0.15)


def test_groups_of_unequal_size_keep_the_mean_of_queries() -> None:
    values = np.array([1.0, 1.0, 1.0, 0.0])
    interval = bootstrap_mean(values, ["a", "a", "a", "b"])
    assert (interval.mean, interval.low, interval.high) == (0.75, 0.0, 1.0)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(5).uniform(0, 1, 300)
    assert bootstrap_mean(values) == bootstrap_mean(values)
    assert bootstrap_mean(values) != bootstrap_mean(values, bootstrap=Bootstrap(seed=8))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.03, 0.05, Verdict.PASS),
        (0.01, 0.029, Verdict.FAIL),
        (0.02, 0.04, Verdict.INCONCLUSIVE),
    ],
)
def test_an_interval_across_the_threshold_decides_nothing(
    low: float, high: float, expected: Verdict
) -> None:
    assert Interval((low + high) / 2, low, high).verdict_at_least(0.03) is expected


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean(np.empty(0))
    with pytest.raises(ValueError, match="not finite"):
        bootstrap_mean(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="3 groups"):
        bootstrap_mean(np.array([1.0, 2.0]), ["a", "b", "c"])
    with pytest.raises(ValueError, match="2 values before, but 3 after"):
        paired_difference(np.zeros(2), np.zeros(3))
