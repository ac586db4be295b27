"""What a diagnosis knows of a stack and a release; what could not be seen is None or empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ServerView:
    """One process of the local stack; `baseline_bytes` is 0 where it is not known yet."""

    name: str
    address: str
    role: str
    is_alive: bool
    is_healthy: bool
    memory_bytes: int
    baseline_bytes: int

    @property
    def memory_growth_ratio(self) -> float | None:
        """Memory over what it was once warm, minus 1."""
        if not self.baseline_bytes or not self.memory_bytes:
            return None
        return self.memory_bytes / self.baseline_bytes - 1.0


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a server wrote at level error or above."""

    server: str
    time: str
    text: str


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """The release that is looked at, and what a quick look into it found.

    problem: why it cannot be trusted, empty when it can. agreement: share of exact search's first
    ten that the index finds, with its interval; growth_ratio: rows of artifacts/corpus/current.npz
    over the release's, minus 1.
    """

    name: str
    problem: str = ""
    passage_count: int = 0
    nprobe: int = 0
    fingerprint: str = ""
    agreement: float | None = None
    agreement_bounds: tuple[float, float] | None = None
    worst_norm_deviation: float | None = None
    imbalance_ratio: float | None = None
    growth_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything that was looked at.

    health_error: why the gateway did not answer. in_flight_ratio: calls in flight at the gateway
    over its limit; refused_ratio: refused requests of all it counted.
    """

    gateway: str
    release: ReleaseView
    health: Mapping[str, Any] = field(default_factory=dict)
    health_error: str = ""
    servers: Sequence[ServerView] = ()
    errors: Sequence[LogLine] = ()
    in_flight_ratio: float | None = None
    refused_ratio: float | None = None
    is_killed: bool = False

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """The servers of the baseline, by name, as the gateway sees them."""
        services: Mapping[str, Mapping[str, Any]] = self.health.get("services") or {}
        return services

    @property
    def all_services(self) -> Mapping[str, Mapping[str, Any]]:
        """Those of the canary too, where it has its own; their names say so."""
        canary = (self.health.get("arms") or {}).get("canary") or {}
        named = {f"{name} of the canary": each for name, each in canary.get("services", {}).items()}
        return {**self.services, **named}

    @property
    def flags(self) -> Mapping[str, Any]:
        """The flags in force."""
        flags: Mapping[str, Any] = self.health.get("flags") or {}
        return flags

    @property
    def stages(self) -> Mapping[str, Mapping[str, Any]]:
        """Percentiles of recent requests by stage."""
        stages: Mapping[str, Mapping[str, Any]] = self.health.get("stages") or {}
        return stages
