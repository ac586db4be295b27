"""Latency over the last requests: percentiles of a bounded window."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Nearest-rank percentiles in milliseconds over `count` samples."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of ascending values; share in (0, 1]. Empty raises ValueError."""
    if not ordered:
        raise ValueError("no samples")
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[min(len(ordered), int(rank)) - 1]


def summarize_ms(samples_ms: Sequence[float]) -> LatencySummary | None:
    """Percentiles of unordered samples, or None without any."""
    if not samples_ms:
        return None
    ordered = sorted(samples_ms)
    return LatencySummary(
        len(ordered),
        percentile(ordered, 0.50),
        percentile(ordered, 0.95),
        percentile(ordered, 0.99),
    )


@dataclass(slots=True)
class LatencyWindow:
    """The last `capacity` samples; old ones fall out."""

    capacity: int = 2048
    _samples: deque[float] = field(init=False)

    def __post_init__(self) -> None:
        self._samples = deque(maxlen=self.capacity)

    def add_ns(self, elapsed_ns: int) -> None:
        """Keep one sample."""
        self._samples.append(elapsed_ns / 1e6)

    def summary(self) -> LatencySummary | None:
        """Percentiles over the window, or None while it is empty."""
        return summarize_ms(list(self._samples))
