from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.intervals import Verdict
from rollouts.statistics import (
    Bounds,
    Histogram,
    difference,
    histogram_of,
    percentile,
    ratio,
    share,
)
from tests.unit.rollouts.arms import durations


def test_bounds_agree_with_worked_examples() -> None:
    # Where both are many they are Wilson's: 100 of 1000, z = 1.96, is 8.29 % to 12.02 %.
    many = share(100, 1000, confidence=0.975)
    assert (round(many.low, 4), round(many.high, 4)) == (0.0829, 0.1202)
    # Where one is rare they are Clopper and Pearson's: 1 of 10 is 0.25 % to 44.5 %.
    few = share(1, 10, confidence=0.975)
    assert (round(few.low, 4), round(few.high, 4)) == (0.0025, 0.4450)
    # None of n: 1 - 0.05 ** (1 / n), known as the rule of three.
    assert share(0, 300).high == pytest.approx(1 - 0.05 ** (1 / 300), rel=1e-6)


def test_a_single_request_settles_nothing_whatever_came_of_it() -> None:
    for hits in (0, 1):
        assert share(hits, 1).at_least(0.95) is Verdict.INCONCLUSIVE
        assert share(hits, 1, confidence=0.9999).at_most(0.05) is Verdict.INCONCLUSIVE


@given(total=st.integers(1, 10_000), part=st.floats(0, 1))
def test_a_share_lies_between_its_bounds(total: int, part: float) -> None:
    bounds = share(round(part * total), total)
    assert 0 <= bounds.low <= bounds.figure + 1e-12
    assert bounds.figure - 1e-12 <= bounds.high <= 1


def test_no_failure_among_few_proves_little_and_among_many_much() -> None:
    assert share(0, 20).high > 0.1
    assert share(0, 20_000).high < 0.0002


def test_bounds_hold_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    hits = generator.binomial(500, 0.05, size=2000)
    held = np.mean([share(int(each), 500).high >= 0.05 for each in hits])
    assert held > 0.93
    rare = generator.binomial(50, 0.02, size=2000)
    below = np.mean([share(int(each), 50).low <= 0.02 for each in rare])
    assert below >= 0.95


def test_nothing_counted_settles_nothing() -> None:
    nothing = share(0, 0)
    assert nothing.at_most(1.0) is Verdict.INCONCLUSIVE
    assert nothing.at_least(0.0) is Verdict.INCONCLUSIVE
    assert difference(share(1, 10), nothing).at_most(9.0) is Verdict.INCONCLUSIVE
    assert percentile(histogram_of([]), 0.95).at_most(9.0) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("bounds", "limit", "verdict"),
    [
        (Bounds(1, 0.5, 1.5), 2.0, Verdict.PASS),
        (Bounds(1, 0.5, 1.5), 1.2, Verdict.INCONCLUSIVE),
        (Bounds(1, 0.5, 1.5), 0.4, Verdict.FAIL),
    ],
)
def test_a_limit_between_the_bounds_is_inconclusive(
    bounds: Bounds, limit: float, verdict: Verdict
) -> None:
    assert bounds.at_most(limit) is verdict
    mirrored = Bounds(-bounds.figure, -bounds.high, -bounds.low)
    assert mirrored.at_least(-limit) is verdict


def test_distances_of_a_difference_add_in_quadrature() -> None:
    found = difference(Bounds(0.5, 0.4, 0.8), Bounds(0.2, 0.16, 0.25))
    assert found.figure == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - math.hypot(0.1, 0.05))
    assert found.high == pytest.approx(0.3 + math.hypot(0.3, 0.04))


def test_a_ratio_of_equals_is_one_and_of_nothing_nothing() -> None:
    same = ratio(Bounds(0.01, 0.009, 0.011), Bounds(0.01, 0.009, 0.011))
    assert same.figure == pytest.approx(1.0)
    assert 0.8 < same.low < 1 < same.high < 1.25
    assert math.isnan(ratio(Bounds(0.01, 0, math.inf), Bounds(0.01, 0.009, 0.011)).figure)


def test_a_percentile_is_found_between_edges() -> None:
    histogram = Histogram((0.010, 0.020), (90.0, 100.0), 100.0)
    assert percentile(histogram, 0.95).figure == pytest.approx(0.015)
    assert percentile(histogram, 0.45).figure == pytest.approx(0.005)


def test_a_percentile_beyond_the_last_edge_has_no_bound() -> None:
    histogram = Histogram((0.010,), (50.0,), 100.0)
    assert percentile(histogram, 0.95).figure == math.inf
    assert math.isnan(histogram.within(99.0))


def test_more_requests_make_a_percentile_surer() -> None:
    few, many = (percentile(durations(count, 0.05), 0.95) for count in (100, 100_000))
    assert few.high - few.low > many.high - many.low
    assert few.low <= many.figure <= few.high


def test_how_many_were_within_a_limit() -> None:
    histogram = histogram_of([(math.inf, 100.0), (0.020, 90.0), (0.010, 50.0)])
    assert histogram.total == 100.0
    assert [histogram.within(limit) for limit in (0.010, 0.015, 0.020)] == [50.0, 70.0, 90.0]
