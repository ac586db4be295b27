"""Figures of arms for tests: how many requests, how slow, how good."""

from __future__ import annotations

from rollouts.counts import ArmWindow, Window
from rollouts.statistics import Histogram

EDGES_S = (0.001, 0.002, 0.005, 0.008, 0.010, 0.020, 0.050, 0.250)


def durations(
    total: float, slower_than_8ms: float = 0.0, slower_than_20ms: float = 0.0
) -> Histogram:
    """Most take 2 to 5 ms; a share takes 10 to 20 ms, a share 20 to 50 ms."""
    fast = total * (1 - slower_than_8ms - slower_than_20ms)
    middle = total * (1 - slower_than_20ms)
    counts = (0, 0, fast, fast, fast, middle, total, total)
    return Histogram(EDGES_S, tuple(float(count) for count in counts), total)


def arm(  # noqa: PLR0917 -- one figure each
    requests: float = 10_000,
    failed: float = 0,
    slower_than_8ms: float = 0.0,
    slower_than_20ms: float = 0.0,
    near_duplicate_ratio: float = 0.01,
    confident_ratio: float = 0.8,
    rank1_changed_ratio: float = 0.3,
    reranked_ratio: float = 1.0,
    incomplete_ratio: float = 0.0,
) -> ArmWindow:
    """One arm; without arguments it is a good one with many requests."""
    answered = requests - failed
    return ArmWindow(
        requests=requests,
        failed=failed,
        durations=durations(answered, slower_than_8ms, slower_than_20ms),
        queries=answered,
        incomplete=incomplete_ratio * answered,
        confident=confident_ratio * answered,
        reranked=reranked_ratio * answered,
        rank1_changed=rank1_changed_ratio * reranked_ratio * answered,
        candidates=50 * answered,
        near_duplicates=50 * answered * near_duplicate_ratio,
    )


def window(canary: ArmWindow, baseline: ArmWindow | None = None) -> Window:
    """Both arms over a minute."""
    return Window(60.0, baseline or arm(), canary)
