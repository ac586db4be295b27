"""From a sweep to the operating point of its release."""

from __future__ import annotations

from pathlib import Path

from evaluation.intervals import Verdict
from evaluation.sweep import Sweep
from releases.bundle import Release
from releases.operating_point import OperatingPoint, write_operating_point


def record_operating_point(release: Release, sweep: Sweep, created: str) -> Path | None:
    """Write the pick of a sweep that passed; None, and nothing written, for any other."""
    point = sweep.picked_point
    if sweep.verdict is not Verdict.PASS or point is None:
        return None
    return write_operating_point(
        release, OperatingPoint(point.nprobe, created, point.loss_pp.mean, point.p95_ms)
    )
