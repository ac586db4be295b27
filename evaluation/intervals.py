"""Bootstrap confidence intervals of means and of paired differences, and verdicts on them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.measures import PerQuery

_CHUNK_ELEMENTS = 2_000_000


class Verdict(enum.Enum):
    """The outcome of a comparison; INCONCLUSIVE is not a pass."""

    PASS = "PASS"  # noqa: S105
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How often to resample, how much the interval holds, and the seed that fixes both."""

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 7


DEFAULT_BOOTSTRAP = Bootstrap()


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the bounds of its bootstrap percentile interval."""

    mean: float
    low: float
    high: float

    def verdict_at_least(self, threshold: float) -> Verdict:
        """PASS when the whole interval reaches the threshold, FAIL when none of it does."""
        if self.low >= threshold:
            return Verdict.PASS
        return Verdict.FAIL if self.high < threshold else Verdict.INCONCLUSIVE


def bootstrap_mean(
    values: PerQuery,
    groups: Sequence[str] | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> Interval:
    """Interval of the mean of values [queries].

    With `groups` (an article a query) whole groups are drawn: queries of one article resemble
    each other, and an interval that treats them as independent is too narrow. ValueError for no
    values, a value that is not finite, or another number of groups.
    """
    sums, counts = _totals(values, groups)
    means = _resampled_means(sums, counts, bootstrap)
    tail = (1.0 - bootstrap.confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def paired_difference(
    before: PerQuery,
    after: PerQuery,
    groups: Sequence[str] | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> Interval:
    """Interval of the mean of after - before, query by query, on the same queries."""
    if before.shape != after.shape:
        raise ValueError(f"{len(before)} values before, but {len(after)} after")
    return bootstrap_mean(after - before, groups, bootstrap)


def ratio_of_means(
    above: PerQuery,
    below: PerQuery,
    groups: Sequence[str] | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> Interval | None:
    """Interval of mean(above) / mean(below), both drawn together, query by query.

    None where the mean below is not surely positive: the ratio could be anything then.
    """
    if len(above) != len(below):
        raise ValueError(f"{len(above)} values above, but {len(below)} below")
    over = _resampled_means(*_totals(above, groups), bootstrap)
    under = _resampled_means(*_totals(below, groups), bootstrap)
    tail = (1.0 - bootstrap.confidence) / 2.0
    if np.quantile(under, tail) <= 0.0 or under.min() <= 0.0:
        return None
    low, high = np.quantile(over / under, [tail, 1.0 - tail])
    return Interval(float(above.mean() / below.mean()), float(low), float(high))


def _totals(values: PerQuery, groups: Sequence[str] | None) -> tuple[PerQuery, PerQuery]:
    if not len(values):
        raise ValueError("no values")
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite")
    if groups is None:
        return values, np.ones(len(values))
    if len(groups) != len(values):
        raise ValueError(f"{len(values)} values, but {len(groups)} groups")
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.bincount(numbers).astype(np.float64)
    return np.bincount(numbers, weights=values).astype(np.float64), counts


def _resampled_means(
    sums: PerQuery, counts: PerQuery, bootstrap: Bootstrap
) -> npt.NDArray[np.float64]:
    generator = np.random.default_rng(bootstrap.seed)
    means = []
    rows_at_once = max(1, _CHUNK_ELEMENTS // len(sums))
    for start in range(0, bootstrap.resamples, rows_at_once):
        shape = (min(rows_at_once, bootstrap.resamples - start), len(sums))
        drawn = generator.integers(0, len(sums), shape)
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)
