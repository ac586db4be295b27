"""Gauges of what the gateway is told: flags, arms, and the servers behind it."""

from __future__ import annotations

from collections.abc import Callable

from gateway.arm_watch import ArmWatch
from gateway.arms import CANARY
from gateway.observing import QUERIES_IN_FLIGHT, TARGET_SERVING
from gateway.routing import Router, Traffic
from gateway.targets import AnyTarget, is_asked
from servicekit.lifecycle import Process
from servicekit.metric_names import MetricSpec
from servicekit.telemetry import ServiceMetrics

FLAGS_GENERATION = MetricSpec(
    "gateway_flags_generation",
    "gauge",
    "1",
    "Changes of the flags that this process has put in force, from 1",
)
FLAGS_REFUSED = MetricSpec(
    "gateway_flags_refused_total", "counter", "1", "Flags files that were refused as they stood"
)
FLAGS_FILE_BAD = MetricSpec(
    "gateway_flags_file_bad",
    "gauge",
    "1",
    "1 while the flags file as it stands is refused and the last good one is in force",
)
CANARY_PERCENT = MetricSpec(
    "gateway_canary_percent", "gauge", "%", "Share of callers on the canary arm; 0 without one"
)
ARMS_REFUSED = MetricSpec(
    "gateway_arms_refused",
    "gauge",
    "1",
    "1 while the servers that should make the arms are refused and the ones before answer",
)
CONTROL_METRICS = (FLAGS_GENERATION, FLAGS_REFUSED, FLAGS_FILE_BAD, CANARY_PERCENT, ARMS_REFUSED)


def observe_control(process: Process, router: Router, arms: ArmWatch) -> None:
    """Export what is in force, read when it is scraped."""
    metrics = process.metrics
    metrics.observe(QUERIES_IN_FLIGHT, lambda: process.admission.in_flight)
    metrics.observe(FLAGS_GENERATION, lambda: router.flags.generation)
    metrics.observe(FLAGS_FILE_BAD, lambda: float(bool(router.flags.error)))
    metrics.observe(CANARY_PERCENT, lambda: _canary_percent(router.traffic))
    metrics.observe(ARMS_REFUSED, lambda: float(bool(arms.error)))


def _canary_percent(traffic: Traffic) -> float:
    return traffic.canary.percent if traffic.canary is not None else 0.0


class TargetGauges:
    """One gauge a server of the arms, the canary's named `canary/shard-0`; it comes and goes."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        self._metrics = metrics
        self._names: set[str] = set()

    def follow(self, traffic: Traffic) -> None:
        """Have the gauges of exactly the servers in use."""
        targets = _named_targets(traffic)
        for gone in self._names - set(targets):
            self._metrics.forget(TARGET_SERVING, target=gone)
        for name, target in targets.items():
            self._metrics.observe(TARGET_SERVING, _reader(target), target=name)
        self._names = set(targets)


def _named_targets(traffic: Traffic) -> dict[str, AnyTarget]:
    baseline = traffic.baseline.backends
    targets = {target.name: target for target in baseline.topology.targets}
    if traffic.canary is not None and traffic.canary.backends is not baseline:
        own = traffic.canary.backends.topology.targets
        targets |= {f"{CANARY}/{target.name}": target for target in own}
    return targets


def _reader(target: AnyTarget) -> Callable[[], float]:
    return lambda: float(is_asked(target))
