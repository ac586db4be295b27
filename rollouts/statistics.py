"""Intervals of shares, of their differences and of percentiles: pure, counts in and bounds out.

All bounds are one-sided at the confidence given: a limit is held when the bound on its side is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from evaluation.intervals import Verdict

CONFIDENCE = 0.95


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
        """How many were at most `limit_s`, straight lines between the edges."""
        before_s, before = 0.0, 0.0
        for edge_s, count in zip(self.edges_s, self.counts, strict=True):
            if limit_s <= edge_s:
                width_s = edge_s - before_s
                return before + (count - before) * (limit_s - before_s) / width_s
            before_s, before = edge_s, count
        # Beyond the last edge nothing is known but that it is more.
        return before


def wilson(hits: float, total: float, confidence: float = CONFIDENCE) -> Bounds:
    """The share hits / total with Wilson's bounds, which hold for few and for rare hits too."""
    if total <= 0:
        return NOTHING
    share = hits / total
    z = _z(confidence)
    weight = 1.0 / (1.0 + z * z / total)
    centre = weight * (share + z * z / (2 * total))
    reach = weight * z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return Bounds(share, max(0.0, centre - reach), min(1.0, centre + reach))


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


def percentile(histogram: Histogram, share: float, confidence: float = CONFIDENCE) -> Bounds:
    """The duration in seconds that `share` of them do not exceed, straight lines between edges.

    Its bounds are those places in the order that the true one lies between. Infinite beyond the
    last edge.
    """
    if histogram.total <= 0:
        return NOTHING
    reach = _z(confidence) * math.sqrt(share * (1 - share) / histogram.total)
    return Bounds(
        _duration_at(histogram, share),
        _duration_at(histogram, max(0.0, share - reach)),
        _duration_at(histogram, min(1.0, share + reach)),
    )


def histogram_of(buckets: Sequence[tuple[float, float]]) -> Histogram:
    """From (upper edge in seconds, cumulative count) in any order; the edge +Inf has the total."""
    ordered = sorted(buckets)
    finite = [(edge, count) for edge, count in ordered if math.isfinite(edge)]
    total = ordered[-1][1] if ordered else 0.0
    return Histogram(tuple(edge for edge, _ in finite), tuple(count for _, count in finite), total)


def _duration_at(histogram: Histogram, share: float) -> float:
    wanted = share * histogram.total
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
