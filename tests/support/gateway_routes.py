"""Routers over stubs, and a caller for servicers that are called without a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.arm_observing import ArmObserver, QualityPolicy
from gateway.arms import ArmTargets
from gateway.backends import Backends
from gateway.flag_watch import FlagsInForce
from gateway.metrics import METRICS
from gateway.pipeline import Pipeline
from gateway.reranking import RerankPolicy, RerankStage
from gateway.routing import Router
from gateway.topology import Topology
from retrieval_core.flags import FlagValues, flags_of
from servicekit.telemetry import ServiceMetrics
from tests.support.gateway_bench import Bench


@dataclass(frozen=True, slots=True)
class Caller:
    """What a servicer asks of a gRPC context."""

    metadata: Sequence[tuple[str, str | bytes]] = ()
    address: str = "ipv4:127.0.0.1:50000"

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        return self.metadata

    def peer(self) -> str:
        return self.address


def backends_of(pipeline: Pipeline, topology: Topology | None = None) -> Backends:
    """Servers that need no opening and no closing."""
    known = topology or Topology(pipeline.encoder, pipeline.shards, None, 1, 1)
    return Backends(ArmTargets(("e:1",), (("s:1",),)), known, pipeline)


def bench_backends(bench: Bench) -> Backends:
    return backends_of(bench.pipeline)


def topology_backends(topology: Topology) -> Backends:
    """Backends with a pipeline that nobody asks."""
    stage = RerankStage(topology.reranker, RerankPolicy())
    pipeline = Pipeline(topology.encoder, topology.shards, stage, lambda: topology.view)
    return backends_of(pipeline, topology)


def in_force(values: FlagValues | None = None, generation: int = 1) -> FlagsInForce:
    return FlagsInForce(flags_of(values or {}), generation)


def router_of(
    baseline: Backends,
    canary: Backends | None = None,
    values: FlagValues | None = None,
    metrics: ServiceMetrics | None = None,
) -> Router:
    """A router with these flags; its observers record into `metrics`."""
    counted = metrics or ServiceMetrics("gateway", METRICS)
    return Router(
        in_force(values),
        baseline,
        canary,
        lambda name: ArmObserver(name, counted, QualityPolicy()),
    )
