"""Which arm answers a request. What is decided lies in one value that is replaced whole.

A request looks at the value once and is answered by it from start to end, whatever is switched
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.arm_observing import ArmObserver
from gateway.arms import BASELINE, CANARY
from gateway.backends import Backends
from gateway.flag_watch import FlagsInForce
from gateway.query import Tuning
from retrieval_core.flags import ArmFlags
from retrieval_core.traffic_split import is_canary


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to answer: servers, and what queries leave open. `percent` is its share."""

    name: str
    backends: Backends
    tuning: Tuning
    percent: float
    observer: ArmObserver


@dataclass(frozen=True, slots=True)
class Traffic:
    """Everything a request needs to know about arms and flags."""

    flags: FlagsInForce
    baseline: Arm
    canary: Arm | None = None

    @property
    def needs_key(self) -> bool:
        """Whether callers are told apart at all."""
        return self.canary is not None and 0 < self.canary.percent < 100

    def arm_of(self, routing_key: str) -> Arm:
        """The arm of a caller; without a canary always the baseline."""
        canary = self.canary
        if canary is not None and is_canary(routing_key, canary.percent):
            return canary
        return self.baseline

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Baseline, and canary if there is one."""
        return (self.baseline,) if self.canary is None else (self.baseline, self.canary)


@dataclass(slots=True)
class Router:
    """Holds the traffic in force. `open_observer` makes the observer of a new or changed arm."""

    flags: FlagsInForce
    baseline: Backends
    canary: Backends | None
    open_observer: Callable[[str], ArmObserver]
    on_change: Callable[[Traffic], None] = lambda _traffic: None
    traffic: Traffic = field(init=False)

    def __post_init__(self) -> None:
        self.traffic = self._traffic(())
        self.on_change(self.traffic)

    def use_flags(self, flags: FlagsInForce) -> None:
        """Put other flags in force."""
        self.flags = flags
        self._replace()

    def use_backends(self, baseline: Backends, canary: Backends | None) -> None:
        """Put other servers behind the arms, both in one step."""
        self.baseline, self.canary = baseline, canary
        self._replace()

    def backends(self) -> list[Backends]:
        """All that are in use."""
        return [self.baseline] if self.canary is None else [self.baseline, self.canary]

    def _replace(self) -> None:
        self.traffic = self._traffic(self.traffic.arms)
        self.on_change(self.traffic)

    def _traffic(self, before: tuple[Arm, ...]) -> Traffic:
        flags = self.flags.flags
        has_canary = self.canary is not None or flags.overrides_canary
        percent = flags.canary_percent if has_canary else 0
        baseline = self._arm(BASELINE, self.baseline, flags.baseline, 100 - percent, before)
        if not has_canary:
            return Traffic(self.flags, baseline)
        backends = self.canary or self.baseline
        canary = self._arm(CANARY, backends, flags.canary, percent, before)
        return Traffic(self.flags, baseline, canary)

    def _arm(
        self,
        name: str,
        backends: Backends,
        flags: ArmFlags,
        percent: float,
        before: tuple[Arm, ...],
    ) -> Arm:
        tuning = Tuning(flags.retriever_impl, flags.reranker, flags.faiss_nprobe)
        for arm in before:
            # The same way to answer goes on with its percentiles; another one begins its own.
            if arm.name == name and arm.backends is backends and arm.tuning == tuning:
                return Arm(name, backends, tuning, percent, arm.observer)
        return Arm(name, backends, tuning, percent, self.open_observer(name))
