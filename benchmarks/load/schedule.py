"""When requests are due: pure arithmetic, decided before anything is sent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

Item = TypeVar("Item")

_SECOND_NS = 1_000_000_000


class Arrivals(StrEnum):
    """How requests of an open loop are spread over time."""

    POISSON = "poisson"
    EVEN = "even"


def due_offsets_ns(
    rate_per_s: float, duration_s: float, arrivals: Arrivals, seed: int
) -> list[int]:
    """Ascending offsets from the start, all below `duration_s`.

    even: one every 1/rate, the first at 0. poisson: independent exponential gaps of mean 1/rate,
    as callers that know nothing of each other arrive. The same seed gives the same offsets.
    """
    if rate_per_s <= 0 or duration_s <= 0:
        raise ValueError("rate and duration must be above 0")
    if arrivals is Arrivals.EVEN:
        count = max(1, round(rate_per_s * duration_s))
        return [int(index * _SECOND_NS / rate_per_s) for index in range(count)]
    return _poisson_offsets_ns(rate_per_s, duration_s, random.Random(seed))  # noqa: S311


def _poisson_offsets_ns(rate_per_s: float, duration_s: float, source: random.Random) -> list[int]:
    offsets = []
    at_s = source.expovariate(rate_per_s)
    while at_s < duration_s:
        offsets.append(int(at_s * _SECOND_NS))
        at_s += source.expovariate(rate_per_s)
    return offsets


def dealt(items: Sequence[Item], hand_count: int) -> list[list[Item]]:
    """Deal the items out in turn, so that every process gets an even part of the schedule."""
    return [list(items[hand::hand_count]) for hand in range(hand_count)]


def cycled(items: Sequence[Item], count: int) -> list[tuple[int, Item]]:
    """`count` items, starting over when they run out, each with the number of its round from 0."""
    if not items:
        raise ValueError("nothing to repeat")
    return [(index // len(items), items[index % len(items)]) for index in range(count)]
