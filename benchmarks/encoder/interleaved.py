"""Times several things in turn, so that a busy moment of the machine is shared by all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one thing over all rounds."""

    median_ms: float
    fastest_ms: float


def time_interleaved(runs: Mapping[str, Run], rounds: int) -> dict[str, Timing]:
    """Call each run once to warm its caches and once timed, `rounds` times in turn."""
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            started = time.perf_counter()
            run()
            samples[name].append((time.perf_counter() - started) * 1000)
    return {name: Timing(median(times), min(times)) for name, times in samples.items()}
