"""Intervals of shares, of their differences and of percentiles: pure, counts in and bounds out.

All bounds are one-sided at the confidence given: a limit is held when the bound on its side is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import NormalDist

from evaluation.intervals import Verdict

CONFIDENCE = 0.95
_RARE = 20
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Bounds:
    """An estimate between its bounds; NaN where nothing was counted."""

    figure: float
    low: float
    high: float

    def at_most(self, limit: float) -> Verdict:
        """PASS when the upper bound holds the limit, FAIL when the lower one breaks it."""
        if self.high <= limit:
            return Verdict.PASS
        return Verdict.FAIL if self.low > limit else Verdict.INCONCLUSIVE

    def at_least(self, limit: float) -> Verdict:
        """PASS when the lower bound holds the limit, FAIL when the upper one breaks it."""
        if self.low >= limit:
            return Verdict.PASS
        return Verdict.FAIL if self.high < limit else Verdict.INCONCLUSIVE


NOTHING = Bounds(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of durations: `counts[i]` were at most `edges_s[i]` seconds; `total` in all.

    Edges rise; the counts are cumulative, as Prometheus keeps them.
    """

    edges_s: tuple[float, ...]
    counts: tuple[float, ...]
    total: float

    def within(self, limit_s: float) -> float:
        """How many were at most `limit_s`, straight lines between the edges.

        NaN beyond the last edge, where nothing is known but that some took longer.
        """
        before_s, before = 0.0, 0.0
        for edge_s, count in zip(self.edges_s, self.counts, strict=True):
            if limit_s <= edge_s:
                width_s = edge_s - before_s
                return before + (count - before) * (limit_s - before_s) / width_s
            before_s, before = edge_s, count
        return math.nan


def share(hits: float, total: float, confidence: float = CONFIDENCE) -> Bounds:
    """The share hits / total with its bounds.

    Exact ones (Clopper and Pearson's) where hits or misses are rare, since approximations promise
    too much there; Wilson's where both are many. Parts of a hit widen the bounds.
    """
    if not total > 0 or math.isnan(hits):
        return NOTHING
    if min(hits, total - hits) > _RARE:
        return _wilson(hits, total, confidence)
    count = math.floor(total)
    low = _exact_low(min(math.floor(hits), count), count, 1.0 - confidence)
    # An upper bound of the hits is what a lower bound of the misses leaves.
    misses = count - min(math.ceil(hits), count)
    return Bounds(hits / total, low, 1.0 - _exact_low(misses, count, 1.0 - confidence))


def _exact_low(hits: int, total: int, risk: float) -> float:
    """The smallest probability at which `hits` or more of `total` are not rarer than `risk`."""
    if hits == 0:
        return 0.0
    low, high = 0.0, hits / total
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _at_least(hits, total, middle) < risk:
            low = middle
        else:
            high = middle
    return low


def _at_least(hits: int, total: int, probability: float) -> float:
    """Chance of `hits` or more, from the shorter of both tails."""
    if hits > total - hits:
        return _sum_of_chances(range(hits, total + 1), total, probability)
    return 1.0 - _sum_of_chances(range(hits), total, probability)


def _sum_of_chances(counts: range, total: int, probability: float) -> float:
    log_hit, log_miss = math.log(probability), math.log1p(-probability)
    return math.fsum(
        math.exp(_log_ways(total, count) + count * log_hit + (total - count) * log_miss)
        for count in counts
    )


@lru_cache(maxsize=4096)
def _log_ways(total: int, count: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)


def _wilson(hits: float, total: float, confidence: float) -> Bounds:
    figure = hits / total
    z = _z(confidence)
    weight = 1.0 / (1.0 + z * z / total)
    centre = weight * (figure + z * z / (2 * total))
    reach = weight * z * math.sqrt(figure * (1 - figure) / total + z * z / (4 * total * total))
    return Bounds(figure, max(0.0, centre - reach), min(1.0, centre + reach))


def difference(after: Bounds, before: Bounds) -> Bounds:
    """after - before of two independent figures; their distances to a bound add in quadrature."""
    figure = after.figure - before.figure
    down = math.hypot(after.figure - after.low, before.high - before.figure)
    up = math.hypot(after.high - after.figure, before.figure - before.low)
    return Bounds(figure, figure - down, figure + up)


def ratio(after: Bounds, before: Bounds) -> Bounds:
    """after / before of two independent positive figures, as a difference of their logarithms."""
    if not (after.low > 0 and before.low > 0 and math.isfinite(after.high + before.high)):
        return NOTHING
    logs = difference(_log(after), _log(before))
    return Bounds(math.exp(logs.figure), math.exp(logs.low), math.exp(logs.high))


def percentile(histogram: Histogram, rank: float, confidence: float = CONFIDENCE) -> Bounds:
    """The duration in seconds that a share `rank` of them do not exceed.

    Straight lines between the edges, infinite beyond the last. Its bounds are those places in the
    order that the true one lies between.
    """
    if histogram.total <= 0:
        return NOTHING
    reach = _z(confidence) * math.sqrt(rank * (1 - rank) / histogram.total)
    return Bounds(
        _duration_at(histogram, rank),
        _duration_at(histogram, max(0.0, rank - reach)),
        _duration_at(histogram, min(1.0, rank + reach)),
    )


def histogram_of(buckets: Sequence[tuple[float, float]]) -> Histogram:
    """From (upper edge in seconds, cumulative count) in any order; the edge +Inf has the total."""
    ordered = sorted(buckets)
    finite = [(edge, count) for edge, count in ordered if math.isfinite(edge)]
    total = ordered[-1][1] if ordered else 0.0
    return Histogram(tuple(edge for edge, _ in finite), tuple(count for _, count in finite), total)


def _duration_at(histogram: Histogram, rank: float) -> float:
    wanted = rank * histogram.total
    before_s, before = 0.0, 0.0
    for edge_s, count in zip(histogram.edges_s, histogram.counts, strict=True):
        if count >= wanted:
            within = (wanted - before) / (count - before) if count > before else 1.0
            return before_s + (edge_s - before_s) * within
        before_s, before = edge_s, count
    return math.inf


def _log(bounds: Bounds) -> Bounds:
    return Bounds(math.log(bounds.figure), math.log(bounds.low), math.log(bounds.high))


@cache
def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(confidence)
