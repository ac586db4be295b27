"""A real gateway over fake servers, all on sockets of one loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import grpc.aio
from retrieval.v1.retrieval_pb2_grpc import RetrievalServiceStub

from gateway.composition import open_gateway
from gateway.metrics import METRICS
from gateway.settings import GatewaySettings
from servicekit.admission import Admission
from servicekit.aio_server import AioServer
from servicekit.binding import Service
from servicekit.lifecycle import Process
from servicekit.settings import ServiceSettings
from servicekit.telemetry import ServiceMetrics
from servicekit.tracing import Tracing
from tests.support.fake_backends import (
    FakeCorpus,
    FakeEncoder,
    FakeReranker,
    FakeShard,
    encoder_service,
    rerank_service,
    shard_service,
)

PATIENT = {
    # A busy test machine must not turn into missing shards where the test is about something else.
    "shard_timeout_ms": 5000.0,
    "shard_grace_ms": 5000.0,
    "rerank_timeout_ms": 5000.0,
    "default_deadline_ms": 20_000.0,
    "check_interval_ms": 100.0,
    "check_timeout_ms": 5000.0,
}


@dataclass(slots=True)
class GatewayStack:
    """The fakes, their servers, and a stub of the gateway."""

    encoder: FakeEncoder
    shards: list[FakeShard]
    reranker: FakeReranker
    corpus: FakeCorpus
    tls: dict[str, Any] = field(default_factory=dict)
    servers: dict[str, AioServer] = field(default_factory=dict)
    process: Process = field(init=False)
    gateway: AioServer = field(init=False)
    http_address: str = field(init=False)
    channel: Any = field(init=False)
    stub: Any = field(init=False)

    async def stop(self, name: str) -> None:
        """Stop one of the servers behind the gateway at once."""
        await self.servers.pop(name).stop()


@asynccontextmanager
async def gateway_stack(
    *,
    shard_count: int = 2,
    passage_count: int = 200,
    tls: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> AsyncIterator[GatewayStack]:
    """Start fakes and gateway; `tls` are settings of the fakes, `settings` those of the gateway."""
    corpus = FakeCorpus.of_size(passage_count)
    shards = [FakeShard(corpus, index, shard_count) for index in range(shard_count)]
    stack = GatewayStack(FakeEncoder(), shards, FakeReranker(), corpus, dict(tls))
    async with AsyncExitStack() as exits:
        exits.push_async_callback(_stop_all, stack)
        addresses = {
            name: await start_service(stack, name, service)
            for name, service in _services(stack).items()
        }
        values = {
            "encoder": (addresses["encoder"],),
            "shards": ";".join(addresses[f"shard-{index}"] for index in range(shard_count)),
            "reranker": (addresses["reranker"],),
            "port": 0,
            "http_port": 0,
            **PATIENT,
            **settings,
        }
        await _start_gateway(stack, GatewaySettings(**values), exits)
        yield stack


def _services(stack: GatewayStack) -> dict[str, Service]:
    return {
        "encoder": encoder_service(stack.encoder),
        **{f"shard-{fake.index}": shard_service(fake) for fake in stack.shards},
        "reranker": rerank_service(stack.reranker),
    }


async def start_service(stack: GatewayStack, name: str, service: Service, port: int = 0) -> str:
    """Start one server behind the gateway; returns its address."""
    server = AioServer(
        ServiceSettings(port=port, **stack.tls), [service], metrics=ServiceMetrics(name)
    )
    await server.start()
    await server.set_serving(True)
    stack.servers[name] = server
    return server.address


async def _start_gateway(
    stack: GatewayStack, settings: GatewaySettings, exits: AsyncExitStack
) -> None:
    admission = Admission(settings.in_flight_limit, "gateway")
    stack.process = Process(ServiceMetrics("gateway", METRICS), Tracing(), admission)
    exits.push_async_callback(stack.process.close)
    opened = await open_gateway(settings, stack.process)
    stack.http_address = opened.http.address if opened.http else ""
    stack.gateway = AioServer(
        settings, opened.services, metrics=stack.process.metrics, admission=admission
    )
    await exits.enter_async_context(stack.gateway)
    stack.process.tell_serving(stack.gateway.address)
    stack.channel = await exits.enter_async_context(
        grpc.aio.insecure_channel(stack.gateway.address)
    )
    stack.stub = RetrievalServiceStub(stack.channel)


async def _stop_all(stack: GatewayStack) -> None:
    for server in stack.servers.values():
        await server.stop()
