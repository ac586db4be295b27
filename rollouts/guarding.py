"""Watches what is served and rolls back on its own once a trigger has held for its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from prometheus_client.parser import text_string_to_metric_families

from retrieval_core.errors import RetrievalError
from rollouts.counts import CANARY, Reading, window_between
from rollouts.log import RolloutLog
from rollouts.plan import TriggerLimits
from rollouts.sources import MetricsSource
from rollouts.triggers import Fired, Measured, Watch, measure_quality, measure_service

DEFAULT_QUALITY_FILE = Path("artifacts/eval/quality.prom")
_DROP = "retrieval_quality_drop_points"


class Rescue(Protocol):
    """The two ways out."""

    def drop_canary(self) -> None:
        """Everybody to the baseline."""
        ...

    def roll_back(self) -> str:
        """To the previous release; returns its name."""
        ...


@dataclass(slots=True)
class Guard:
    """One watch. Without `rescue` it only says what fired.

    quality: reads how far R@5 has dropped in pp, None where no evaluation says so.
    """

    limits: TriggerLimits
    source: MetricsSource
    quality: Callable[[], float | None]
    log: RolloutLog
    rescue: Rescue | None
    _watch: Watch = field(init=False)
    _readings: list[Reading] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._watch = Watch(self.limits.hold_s)

    def look(self) -> list[Fired]:
        """One look; acts on what has fired and returns it."""
        try:
            reading = self.source.read()
        except RetrievalError as error:
            self.log.write("cannot measure", reason=error.message)
            return []
        measured = [*self._service(reading), measure_quality(self.quality(), self.limits)]
        fired = self._watch.look(reading.at_s, measured)
        if fired:
            self._act(fired)
        return fired

    def _service(self, reading: Reading) -> list[Measured]:
        # A rate over half of the time that it has to hold, as the alerts have it.
        span_s = self.limits.hold_s / 2
        self._readings = [one for one in self._readings if one.at_s >= reading.at_s - 2 * span_s]
        before = [one for one in self._readings if one.at_s <= reading.at_s - span_s]
        first = before[-1] if before else next(iter(self._readings), reading)
        self._readings.append(reading)
        return measure_service(window_between(first, reading), self.limits)

    def _act(self, fired: list[Fired]) -> None:
        reason = "; ".join(one.describe() for one in fired)
        is_canary_alone = all(one.measured.arm == CANARY for one in fired)
        self.log.write("trigger", reason=reason, fired=fired, acted=self.rescue is not None)
        if self.rescue is None:
            return
        if is_canary_alone:
            self.rescue.drop_canary()
            self.log.write("canary dropped", reason=reason)
        else:
            back_to = self.rescue.roll_back()
            self.log.write("rolled back", baseline=back_to, reason=reason)
        # What is served now has to earn a trigger of its own.
        self._watch = Watch(self.limits.hold_s)
        self._readings.clear()


def quality_drop_pp(path: Path) -> float | None:
    """The largest drop of R@5 against its baseline that the nightly evaluation wrote, or None."""
    try:
        text = path.read_text("utf-8")
    except OSError:
        return None
    drops = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == _DROP
        and (sample.labels.get("measure"), sample.labels.get("against")) == ("R@5", "baseline")
    ]
    return max(drops, default=None)
