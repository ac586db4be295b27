"""Gauges of a server, read when they are scraped."""

from __future__ import annotations

from collections.abc import Callable

from servicekit.admission import Admission
from servicekit.memory import MemoryBaseline
from servicekit.metric_names import (
    MEMORY_BASELINE,
    RPC_IN_FLIGHT,
    RPC_IN_FLIGHT_LIMIT,
    RPC_SLOTS,
    RPC_WAITING,
    SERVING,
)
from servicekit.telemetry import ServiceMetrics


def observe_server(
    metrics: ServiceMetrics,
    admission: Admission,
    *,
    slot_count: int,
    waiting: Callable[[], int],
    serving: Callable[[], bool],
) -> None:
    """Export what bounds a server's concurrency, and whether health says SERVING."""
    metrics.observe(RPC_IN_FLIGHT, lambda: admission.in_flight)
    metrics.set(RPC_IN_FLIGHT_LIMIT, admission.limit)
    metrics.observe(RPC_WAITING, waiting)
    metrics.set(RPC_SLOTS, slot_count)
    metrics.observe(SERVING, lambda: float(serving()))


def observe_memory(metrics: ServiceMetrics, baseline: MemoryBaseline) -> None:
    """Export what the process's memory has grown from."""
    metrics.observe(MEMORY_BASELINE, baseline.bytes)
