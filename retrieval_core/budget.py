"""Decisions about time: what a stage is likely to take, and whether it still fits."""

from __future__ import annotations

from dataclasses import dataclass, field

_GAIN = 1 / 8
_DEVIATION_GAIN = 1 / 4
_DEVIATIONS = 4
_FORGETTING = 0.9


@dataclass(slots=True)
class RecentDuration:
    """What something took lately: a smoothed mean and mean deviation of its durations.

    Gains and the four deviations are those of TCP's retransmission timer (RFC 6298), which answers
    the same question: how long may this reasonably take, judged by the last few times?
    """

    expected_ns: int
    """Before the first sample."""

    _mean_ns: float = field(init=False)
    _deviation_ns: float = field(init=False, default=0.0)
    _has_samples: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._mean_ns = float(self.expected_ns)

    def add_ns(self, elapsed_ns: int) -> None:
        """Learn from one duration."""
        if not self._has_samples:
            self._has_samples = True
            self._mean_ns, self._deviation_ns = float(elapsed_ns), elapsed_ns / 2
            return
        error = elapsed_ns - self._mean_ns
        self._deviation_ns += _DEVIATION_GAIN * (abs(error) - self._deviation_ns)
        self._mean_ns += _GAIN * error

    def forget(self) -> None:
        """Trust the past a little less; called when a decision against it brought no new sample.

        Otherwise one slow spell would forbid the stage for ever.
        """
        self._mean_ns *= _FORGETTING
        self._deviation_ns *= _FORGETTING

    @property
    def mean_ns(self) -> int:
        """Smoothed mean."""
        return int(self._mean_ns)

    @property
    def upper_ns(self) -> int:
        """Mean and four deviations: hardly ever exceeded while the load stays what it is."""
        return int(self._mean_ns + _DEVIATIONS * self._deviation_ns)


def bounded_timeout_ns(limit_ns: int, time_left_ns: int, reserve_ns: int = 0) -> int:
    """How long to wait: the limit, cut so that `reserve_ns` of the time left remains; 0 if none."""
    return max(0, min(limit_ns, time_left_ns - reserve_ns))


def grace_ns(floor_ns: int, factor: float, others_took_ns: int) -> int:
    """How much longer to wait for the last ones after the others took `others_took_ns`.

    In proportion to the others, so that long searches allow long waits; never below the floor.
    """
    return max(floor_ns, int(factor * others_took_ns))
