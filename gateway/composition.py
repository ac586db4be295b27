"""Puts the parts of the gateway together out of its settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc

from gateway.clients import GrpcEncoder, GrpcReranker, GrpcShard
from gateway.health import Health
from gateway.http_server import HttpServer
from gateway.observing import QUERIES_IN_FLIGHT, TARGET_SERVING, Observer
from gateway.pipeline import Pipeline
from gateway.ports import Describable
from gateway.reranking import RerankStage
from gateway.servicer import RetrievalServicer, retrieval_service
from gateway.settings import (
    GatewaySettings,
    ns_from_ms,
    pipeline_policy,
    request_policy,
    rerank_policy,
    shard_replicas,
    stage_budgets_ns,
)
from gateway.targets import AnyTarget, Target
from gateway.topology import Topology
from retrieval_core.breaker import Breaker
from servicekit.binding import Service
from servicekit.channels import ChannelOptions, ChannelTls, open_aio_channel
from servicekit.lifecycle import Process
from servicekit.metric_names import SERVING
from servicekit.program import distribution_version

_LOGGER = logging.getLogger("gateway")

Client = TypeVar("Client", bound=Describable)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a process of the gateway serves: gRPC services, and HTTP unless it is off."""

    services: tuple[Service, ...]
    http: HttpServer | None


async def open_gateway(settings: GatewaySettings, process: Process) -> Gateway:
    """Open the channels, check the servers behind once, start HTTP.

    Servers that do not answer keep nothing from starting: what is missing is said by /health, by
    GetTopology and by every answer. Raises AddressTaken when the HTTP port cannot be bound.
    """
    topology = open_topology(settings, process)
    await topology.check()
    _log_missing(topology)
    _keep_checking(topology, process)
    observer = Observer(process.metrics, stage_budgets_ns(settings))
    _observe(topology, process)
    http = await _start_http(settings, process, topology, observer)
    pipeline = Pipeline(
        topology.encoder,
        topology.shards,
        RerankStage(topology.reranker, rerank_policy(settings)),
        lambda: topology.view,
        pipeline_policy(settings),
    )
    servicer = RetrievalServicer(
        pipeline, topology, observer, process.admission, request_policy(settings)
    )
    return Gateway((retrieval_service(servicer),), http)


def open_topology(settings: GatewaySettings, process: Process) -> Topology:
    """Open one channel for every target; they are closed with the process."""

    def target(
        name: str, kind: str, replicas: Sequence[str], client: Callable[[grpc.aio.Channel], Client]
    ) -> Target[Client]:
        channel = open_aio_channel(replicas, _channel_options(settings, f"retrieval.v1.{kind}"))
        process.on_close(f"channel to {name}", channel.close)
        breaker = Breaker(settings.set_aside_after)
        return Target(name, ",".join(replicas), client(channel), breaker)

    shards = shard_replicas(settings)
    return Topology(
        encoder=target("encoder", "EncoderService", settings.encoder, GrpcEncoder),
        shards=[
            target(f"shard-{index}", "ShardService", replicas, GrpcShard)
            for index, replicas in enumerate(shards)
        ],
        reranker=target("reranker", "RerankService", settings.reranker, GrpcReranker)
        if settings.reranker
        else None,
        interval_ns=ns_from_ms(settings.check_interval_ms),
        timeout_ns=ns_from_ms(settings.check_timeout_ms),
        version=distribution_version(),
    )


def _channel_options(settings: GatewaySettings, service: str) -> ChannelOptions:
    tls = None
    if settings.backend_ca_file or settings.backend_cert_file:
        tls = ChannelTls(
            settings.backend_ca_file,
            settings.backend_cert_file,
            settings.backend_key_file,
            settings.backend_server_name,
        )
    return ChannelOptions(
        health_service=service, tls=tls, max_message_bytes=settings.max_message_bytes
    )


def _log_missing(topology: Topology) -> None:
    for state in topology.states():
        if not state.is_serving:
            _LOGGER.warning("%s at %s: %s", state.name, state.address, state.detail)


def _keep_checking(topology: Topology, process: Process) -> None:
    checking = asyncio.create_task(topology.run(), name="topology")

    async def stop() -> None:
        checking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await checking

    process.on_close("checks", stop)


def _observe(topology: Topology, process: Process) -> None:
    process.metrics.observe(QUERIES_IN_FLIGHT, lambda: process.admission.in_flight)
    for target in topology.targets:
        process.metrics.observe(TARGET_SERVING, _reader(target), target=target.name)


def _reader(target: AnyTarget) -> Callable[[], float]:
    return lambda: float(target.is_serving and target.why_not_asked() is None)


async def _start_http(
    settings: GatewaySettings, process: Process, topology: Topology, observer: Observer
) -> HttpServer | None:
    if not settings.http_enabled:
        return None
    health = Health(
        topology,
        observer,
        settings.min_coverage,
        is_serving=lambda: process.metrics.value(SERVING.name) == 1.0,
    )
    server = HttpServer(settings.host, settings.http_port, health, process.metrics)
    await server.start()
    process.on_close("http", server.stop)
    _LOGGER.info("HTTP on %s", server.address, extra={"http_address": server.address})
    return server
