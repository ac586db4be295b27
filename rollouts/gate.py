"""One gate of a rollout: a figure, its bounds, its limit, and what is done when it fails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from evaluation.intervals import Verdict
from rollouts.statistics import Bounds


class OnFail(StrEnum):
    """What a gate asks for when it fails."""

    HOLD = "hold"
    ROLL_BACK = "roll back"


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """One figure against its limit; `detail` says in words what the figures are of.

    `figure`, `low` and `high` are None where nothing could be measured.
    """

    gate: str
    verdict: Verdict
    figure: float | None
    low: float | None
    high: float | None
    limit: float
    unit: str
    on_fail: OnFail
    detail: str = ""


def gate_verdict(  # noqa: PLR0913, PLR0917 -- the fields of one verdict
    name: str,
    bounds: Bounds,
    limit: float,
    verdict: Verdict,
    unit: str,
    on_fail: OnFail,
    detail: str,
) -> GateVerdict:
    """The verdict with its figures; those that are not finite are left out."""
    return GateVerdict(
        name,
        verdict,
        _finite(bounds.figure),
        _finite(bounds.low),
        _finite(bounds.high),
        limit,
        unit,
        on_fail,
        detail,
    )


def unmeasured(gate: str, reason: str) -> GateVerdict:
    """What could not be measured: ERROR, which is never a pass."""
    return GateVerdict(gate, Verdict.ERROR, None, None, None, 0.0, "", OnFail.HOLD, reason)


def in_points(bounds: Bounds) -> Bounds:
    """A share in percentage points."""
    return Bounds(100 * bounds.figure, 100 * bounds.low, 100 * bounds.high)


def in_ms(bounds: Bounds) -> Bounds:
    """Seconds in milliseconds."""
    return Bounds(1e3 * bounds.figure, 1e3 * bounds.low, 1e3 * bounds.high)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
