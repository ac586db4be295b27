"""Every metric that all servers have, as data; docs/metrics.md is tested against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# A summary is a sum and a count: two lines of a scrape, for what only its mean is wanted of.
Kind = Literal["counter", "gauge", "histogram", "summary"]

# Finest where the stage budgets lie (2, 8 and 10 ms); 20 ms is the roll-back bound.
LATENCY_BUCKETS_S: tuple[float, ...] = (
    0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.010, 0.020, 0.050, 0.250,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: its Prometheus name, unit ("s", "bytes", "1"), meaning, labels and buckets."""

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


RPC_CALLS = MetricSpec(
    "rpc_server_calls_total",
    "counter",
    "1",
    "Calls answered, by method and canonical code",
    ("method", "code"),
)
RPC_DURATION = MetricSpec(
    "rpc_server_duration_seconds",
    "histogram",
    "s",
    "From the arrival of a call to its answer, waiting included",
    ("method",),
    LATENCY_BUCKETS_S,
)
RPC_QUEUE = MetricSpec(
    "rpc_server_queue_seconds",
    "histogram",
    "s",
    "Waiting for an execution slot, of calls that had to wait",
    (),
    LATENCY_BUCKETS_S,
)
RPC_DROPPED = MetricSpec(
    "rpc_server_dropped_total",
    "counter",
    "1",
    "Calls that ended before their work began: refused, expired or left by the caller",
    ("reason",),
)
RPC_IN_FLIGHT = MetricSpec(
    "rpc_server_in_flight", "gauge", "1", "Calls admitted and not yet answered"
)
RPC_IN_FLIGHT_LIMIT = MetricSpec(
    "rpc_server_in_flight_limit", "gauge", "1", "Calls that may be in flight; more are refused"
)
RPC_WAITING = MetricSpec("rpc_server_waiting", "gauge", "1", "Calls waiting for an execution slot")
RPC_SLOTS = MetricSpec(
    "rpc_server_slots",
    "gauge",
    "1",
    "Calls that may run at once; 0 when only in_flight_limit holds",
)
SERVING = MetricSpec("service_serving", "gauge", "1", "1 while health says SERVING, 0 otherwise")
SERVICE_VERSION = MetricSpec(
    "service_version_info",
    "gauge",
    "1",
    "Always 1; the labels say what runs",
    ("service", "version"),
)
MEMORY_BASELINE = MetricSpec(
    "process_memory_baseline_bytes",
    "gauge",
    "bytes",
    "Resident memory once the process was warm; 0 until memory_baseline_s have passed",
)

COMMON_METRICS: tuple[MetricSpec, ...] = (
    RPC_CALLS,
    RPC_DURATION,
    RPC_QUEUE,
    RPC_DROPPED,
    RPC_IN_FLIGHT,
    RPC_IN_FLIGHT_LIMIT,
    RPC_WAITING,
    RPC_SLOTS,
    SERVING,
    SERVICE_VERSION,
    MEMORY_BASELINE,
)
