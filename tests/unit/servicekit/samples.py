"""Sample servicers and servers of both flavours for the tests of servicekit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

from retrieval.v1 import rerank_pb2, rerank_pb2_grpc

from retrieval_core.errors import (
    InternalError,
    InvalidInput,
    Overloaded,
    RetrievalError,
    Unavailable,
)
from servicekit.aio_server import AioServer
from servicekit.binding import Service
from servicekit.call import current_call
from servicekit.settings import ServiceSettings
from servicekit.sync_server import SyncServer
from servicekit.telemetry import ServiceMetrics

NAME = "retrieval.v1.RerankService"
RERANK = f"/{NAME}/Rerank"
INNER_TEXT = "the-inner-text"

RAISED: dict[str, Exception] = {
    "invalid": InvalidInput("fingerprint", "is invalid", reason="BAD_FINGERPRINT"),
    "overloaded": Overloaded("no room", reason="NO_ROOM"),
    "unavailable": Unavailable("gone"),
    "internal": InternalError(INNER_TEXT),
    "defect": KeyError(INNER_TEXT),
    "base": RetrievalError(INNER_TEXT),
}


class Gate:
    """Holds calls until opened; `entered` counts those that reached it."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.entered_count = 0
        self.opened = threading.Event()

    def pass_through(self) -> None:
        self.entered_count += 1
        self.entered.release()
        if not self.opened.wait(20):
            raise TimeoutError("the gate was never opened")

    def wait_entered(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.entered.acquire(timeout=10)


class Sample(rerank_pb2_grpc.RerankServiceServicer):
    """Does what `fingerprint` says: raises, holds, or answers with facts of the call."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def Rerank(self, request: rerank_pb2.RerankRequest, context: Any) -> rerank_pb2.RerankResponse:  # noqa: N802
        call = current_call()
        if request.fingerprint in RAISED:
            call.add_trailing_metadata("timings-bin", b"\x00\x01")
            raise RAISED[request.fingerprint]
        if request.fingerprint == "hold":
            self.gate.pass_through()
        return rerank_pb2.RerankResponse(
            model=call.trace_id,
            scores=[call.time_left_s(), call.queued_ns / 1e9],
            feature_names=[call.outgoing_metadata()[0][1], call.method],
        )

    def GetRerankerInfo(  # noqa: N802
        self, request: rerank_pb2.GetRerankerInfoRequest, context: Any
    ) -> rerank_pb2.GetRerankerInfoResponse:
        return rerank_pb2.GetRerankerInfoResponse(name="sample")


class AioSample(rerank_pb2_grpc.RerankServiceServicer):
    """The same, asynchronously; `cancelled` is set when a held call is cancelled."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.cancelled = threading.Event()
        self._plain = Sample(gate)

    async def Rerank(  # noqa: N802
        self, request: rerank_pb2.RerankRequest, context: Any
    ) -> rerank_pb2.RerankResponse:
        if request.fingerprint != "hold":
            return self._plain.Rerank(request, context)
        try:
            await asyncio.to_thread(self.gate.pass_through)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return self._plain.Rerank(rerank_pb2.RerankRequest(), context)

    async def GetRerankerInfo(  # noqa: N802
        self, request: rerank_pb2.GetRerankerInfoRequest, context: Any
    ) -> rerank_pb2.GetRerankerInfoResponse:
        return self._plain.GetRerankerInfo(request, context)


class Served(Protocol):
    """A running server as tests see it, whatever its flavour."""

    address: str
    metrics: ServiceMetrics
    gate: Gate


class _Served:
    def __init__(self, address: str, metrics: ServiceMetrics, gate: Gate) -> None:
        self.address = address
        self.metrics = metrics
        self.gate = gate


def sample_service(servicer: object) -> Service:
    return Service(NAME, rerank_pb2_grpc.add_RerankServiceServicer_to_server, servicer)


@contextmanager
def served(flavour: str, settings: ServiceSettings, **options: Any) -> Iterator[Served]:
    """Run the sample server; `flavour` is sync or aio."""
    run = _served_sync if flavour == "sync" else _served_aio
    with run(settings, **options) as server:
        try:
            yield server
        finally:
            server.gate.opened.set()


@contextmanager
def _served_sync(settings: ServiceSettings, **options: Any) -> Iterator[Served]:
    gate = Gate()
    with SyncServer(settings, [sample_service(Sample(gate))], **options) as server:
        yield _Served(server.address, server.metrics, gate)


@contextmanager
def _served_aio(settings: ServiceSettings, **options: Any) -> Iterator[Served]:
    gate = Gate()
    ready: Future[tuple[AioServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        async with AioServer(settings, [sample_service(AioSample(gate))], **options) as server:
            ready.set_result((server, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    server, loop, over = ready.result(timeout=20)
    try:
        yield _Served(server.address, server.metrics, gate)
    finally:
        gate.opened.set()
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        assert not thread.is_alive()
