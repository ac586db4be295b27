"""What /health says: is it worth sending a query, what stands behind, how long stages take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.arms import CANARY
from gateway.backends import Backends
from gateway.observing import Observer, StageLatency
from gateway.routing import Arm, Router, Traffic
from gateway.targets import is_asked
from gateway.topology import TargetState
from retrieval_core.flags import flag_values

OK = "ok"
DEGRADED = "degraded"
UNAVAILABLE = "unavailable"
NOT_SERVING = "not serving"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """`is_answering` decides between 200 and 503; `body` is the JSON."""

    is_answering: bool
    body: dict[str, Any]


def _no_error() -> str:
    return ""


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Health:
    """Reports on the gateway; `is_serving` is what it says of itself over gRPC.

    `arms_error` says what keeps the arms from being what they should be; `more` adds keys.
    """

    router: Router
    observer: Observer
    min_coverage: float
    is_serving: Callable[[], bool]
    arms_error: Callable[[], str] = _no_error
    more: Callable[[], dict[str, Any]] = _nothing

    def report(self) -> HealthReport:
        """Sum up the last checks and the last requests; asks nobody."""
        traffic = self.router.traffic
        backends = traffic.baseline.backends
        status = self._status(traffic)
        body = {
            "version": backends.release_id,
            "software_version": backends.topology.version,
            "status": status,
            "release": backends.release_id,
            "coverage": backends.coverage_ratio,
            "services": service_reports(backends),
            "stages": stage_reports(self.observer.latencies()),
            "arms": self._arm_reports(traffic),
            "arms_error": self.arms_error() or None,
            "flags": flags_report(traffic),
            **self.more(),
        }
        return HealthReport(status in {OK, DEGRADED}, body)

    def _status(self, traffic: Traffic) -> str:
        if not self.is_serving():
            return NOT_SERVING
        # Whoever answers most of the callers decides whether it is worth sending any.
        main = max(traffic.arms, key=lambda arm: arm.percent)
        if not self._answers(main.backends):
            return UNAVAILABLE
        asked = [arm.backends for arm in traffic.arms if arm.percent > 0]
        return OK if all(map(_is_whole, asked)) else DEGRADED

    def _answers(self, backends: Backends) -> bool:
        coverage = backends.coverage_ratio
        enough = coverage > 0 and coverage >= self.min_coverage
        return enough and is_asked(backends.topology.encoder)

    def _arm_reports(self, traffic: Traffic) -> dict[str, Any]:
        reports: dict[str, Any] = {arm.name: self._arm_report(arm) for arm in traffic.arms}
        if traffic.canary is None:
            return {**reports, CANARY: None}
        if traffic.canary.backends is not traffic.baseline.backends:
            reports[CANARY]["services"] = service_reports(traffic.canary.backends)
        return reports

    def _arm_report(self, arm: Arm) -> dict[str, Any]:
        return {
            "release": arm.backends.release_id,
            "percent": arm.percent,
            "retriever_impl": arm.tuning.query_model,
            "reranker": "on" if arm.tuning.reranks else "off",
            "nprobe": arm.tuning.nprobe,
            "serving": self._answers(arm.backends),
            "coverage": arm.backends.coverage_ratio,
            "stages": stage_reports(arm.observer.windows.latencies(self.observer.budgets_ns)),
        }


def _is_whole(backends: Backends) -> bool:
    topology = backends.topology
    reranks = topology.reranker is None or is_asked(topology.reranker)
    return backends.coverage_ratio == 1.0 and is_asked(topology.encoder) and reranks


def flags_report(traffic: Traffic) -> dict[str, Any]:
    """The flags in force as JSON."""
    in_force = traffic.flags
    return {
        "generation": in_force.generation,
        "values": flag_values(in_force.flags),
        "source": in_force.source,
        "digest": in_force.digest,
        "error": in_force.error or None,
    }


def service_reports(backends: Backends) -> dict[str, Any]:
    """Every server of an arm by name as JSON."""
    return {state.name: service_report(state) for state in backends.topology.states()}


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
