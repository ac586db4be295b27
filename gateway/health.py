"""What /health says: is it worth sending a query, what stands behind, how long stages take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.observing import Observer, StageLatency
from gateway.targets import AnyTarget
from gateway.topology import TargetState, Topology

OK = "ok"
DEGRADED = "degraded"
UNAVAILABLE = "unavailable"
NOT_SERVING = "not serving"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """`is_answering` decides between 200 and 503; `body` is the JSON."""

    is_answering: bool
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Health:
    """Reports on the gateway; `is_serving` is what it says of itself over gRPC."""

    topology: Topology
    observer: Observer
    min_coverage: float
    is_serving: Callable[[], bool]

    def report(self) -> HealthReport:
        """Sum up the last checks and the last requests; asks nobody."""
        states = self.topology.states()
        status = self._status()
        body = {
            "version": self.topology.version,
            "status": status,
            "release": self.topology.view.release_id,
            "coverage": self._coverage_ratio(),
            "services": {state.name: service_report(state) for state in states},
            "stages": stage_reports(self.observer.latencies()),
        }
        return HealthReport(status in {OK, DEGRADED}, body)

    def _status(self) -> str:
        if not self.is_serving():
            return NOT_SERVING
        topology = self.topology
        coverage = self._coverage_ratio()
        if not coverage or coverage < self.min_coverage or not _serves(topology.encoder):
            return UNAVAILABLE
        reranks = topology.reranker is None or _serves(topology.reranker)
        return OK if coverage == 1.0 and reranks else DEGRADED

    def _coverage_ratio(self) -> float:
        serving = sum(map(_serves, self.topology.shards))
        return serving / self.topology.view.shard_count


def _serves(target: AnyTarget) -> bool:
    return target.is_serving and target.why_not_asked() is None


def service_report(state: TargetState) -> dict[str, Any]:
    """One target as JSON."""
    return {
        "serving": state.is_serving,
        "address": state.address,
        "detail": state.detail,
        "release": state.release_id,
        "fingerprint": state.fingerprint,
        "passages": state.passage_count,
        "lanes": list(state.lanes),
        "version": state.version,
        "last_seen_s": None if state.age_ns is None else round(state.age_ns / 1e9, 3),
    }


def stage_reports(latencies: Mapping[str, StageLatency]) -> dict[str, dict[str, float | int]]:
    """Percentiles of every series that has samples, as JSON."""
    return {
        name: {
            "count": latency.summary.count,
            "p50_ms": round(latency.summary.p50_ms, 3),
            "p95_ms": round(latency.summary.p95_ms, 3),
            "p99_ms": round(latency.summary.p99_ms, 3),
            "budget_ms": latency.budget_ns / 1e6,
        }
        for name, latency in latencies.items()
        if latency.summary is not None
    }
