"""Conditions that roll back on their own once they have held for long enough. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rollouts.counts import ArmWindow, Window
from rollouts.plan import TriggerLimits
from rollouts.statistics import percentile

ERROR_RATE = "error rate"
LATENCY = "P95"
QUALITY = "R@5 drop"


@dataclass(frozen=True, slots=True)
class Measured:
    """One look: the figure, or None where there was nothing to measure; `limit` is exceeded above.

    arm: whose figure it is; quality belongs to what is served as a whole, the baseline.
    """

    condition: str
    arm: str
    figure: float | None
    limit: float
    unit: str

    @property
    def is_exceeded(self) -> bool | None:
        """None where nothing was measured."""
        return None if self.figure is None else self.figure > self.limit


@dataclass(frozen=True, slots=True)
class Fired:
    """A condition that has held for `held_s` without a break."""

    measured: Measured
    held_s: float

    def describe(self) -> str:
        """In words, with its figures."""
        one = self.measured
        return (
            f"{one.condition} of the {one.arm} above {one.limit:g} {one.unit} for "
            f"{self.held_s:.0f} s, now {one.figure:.4g} {one.unit}"
        )


@dataclass(slots=True)
class Watch:
    """Remembers since when each condition holds.

    A look that finds it within its limit, or finds nothing to measure, starts the time anew: a
    stop of traffic proves nothing either way.
    """

    hold_s: float
    _since_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def look(self, at_s: float, measured: list[Measured]) -> list[Fired]:
        """Take note of one look at `at_s`; returns the conditions that have held long enough."""
        fired = []
        for one in measured:
            key = (one.condition, one.arm)
            if not one.is_exceeded:
                self._since_s.pop(key, None)
                continue
            held_s = at_s - self._since_s.setdefault(key, at_s)
            if held_s >= self.hold_s:
                fired.append(Fired(one, held_s))
        return fired

    def held_s(self, at_s: float) -> Mapping[tuple[str, str], float]:
        """How long each condition that holds now has held."""
        return {key: at_s - since_s for key, since_s in self._since_s.items()}


def measure_service(window: Window, limits: TriggerLimits) -> list[Measured]:
    """Error rate and P95 of both arms over a window; None for an arm with too few requests."""
    found = []
    for arm, figures in (("baseline", window.baseline), ("canary", window.canary)):
        is_enough = figures.requests >= limits.least_requests
        errors = 100 * figures.failed / figures.requests if is_enough else None
        p95_ms = _p95_ms(figures) if is_enough else None
        found += [
            Measured(ERROR_RATE, arm, errors, 100 * limits.error_ratio, "%"),
            Measured(LATENCY, arm, p95_ms, limits.p95_ms, "ms"),
        ]
    return found


def measure_quality(drop_pp: float | None, limits: TriggerLimits) -> Measured:
    """R@5 against its baseline, as the last evaluation found it."""
    return Measured(QUALITY, "baseline", drop_pp, limits.quality_drop_pp, "pp")


def _p95_ms(figures: ArmWindow) -> float | None:
    if not figures.durations.total:
        return None
    return 1e3 * percentile(figures.durations, 0.95).figure
