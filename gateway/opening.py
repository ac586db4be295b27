"""Opens the servers of an arm: channels, clients, targets, and the pipeline over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import grpc

from gateway.arms import ArmTargets
from gateway.backends import Backends, Close
from gateway.clients import GrpcEncoder, GrpcReranker, GrpcShard
from gateway.pipeline import Pipeline
from gateway.policies import ns_from_ms, pipeline_policy, rerank_policy
from gateway.ports import Describable
from gateway.reranking import RerankStage
from gateway.settings import GatewaySettings
from gateway.targets import Target
from gateway.topology import Topology
from retrieval_core.breaker import Breaker
from servicekit.channels import ChannelOptions, ChannelTls, open_aio_channel
from servicekit.program import distribution_version

Client = TypeVar("Client", bound=Describable)


def open_backends(settings: GatewaySettings, targets: ArmTargets) -> Backends:
    """Open one channel for every target of an arm; nothing is asked yet.

    Raises ValueError for addresses that make no channel.
    """
    closes: list[Close] = []
    topology = _open_topology(settings, targets, closes)
    pipeline = Pipeline(
        topology.encoder,
        topology.shards,
        RerankStage(topology.reranker, rerank_policy(settings)),
        lambda: topology.view,
        pipeline_policy(settings),
    )
    return Backends(targets, topology, pipeline, closes)


def _open_topology(settings: GatewaySettings, targets: ArmTargets, closes: list[Close]) -> Topology:
    def target(
        name: str, kind: str, replicas: Sequence[str], client: Callable[[grpc.aio.Channel], Client]
    ) -> Target[Client]:
        channel = open_aio_channel(replicas, _channel_options(settings, f"retrieval.v1.{kind}"))
        closes.append(channel.close)
        breaker = Breaker(settings.set_aside_after)
        return Target(name, ",".join(replicas), client(channel), breaker)

    return Topology(
        encoder=target("encoder", "EncoderService", targets.encoder, GrpcEncoder),
        shards=[
            target(f"shard-{index}", "ShardService", replicas, GrpcShard)
            for index, replicas in enumerate(targets.shards)
        ],
        reranker=target("reranker", "RerankService", targets.reranker, GrpcReranker)
        if targets.reranker
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
