"""A gRPC server on an event loop, for work that waits: on sessions, on other servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn, Self

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2

from retrieval_core.errors import DeadlineExceeded
from servicekit.admission import Admission
from servicekit.binding import Service, WrappingRegistry, bind, join_address, server_options
from servicekit.call import Call, enter_call
from servicekit.draining import IDLE_LOOK_S, IdleWatch
from servicekit.gauges import observe_memory, observe_server
from servicekit.memory import MemoryBaseline
from servicekit.rpc import Method, RpcPolicy
from servicekit.settings import ServiceSettings
from servicekit.standard_services import add_aio_standard_services
from servicekit.telemetry import ServiceMetrics
from servicekit.tls import server_credentials
from servicekit.tracing import Tracing

AioContext = grpc.aio.ServicerContext[bytes, bytes]


class AioServer:
    """Serves `services` with health and reflection; an async context manager that starts and stops.

    At most settings.in_flight_limit calls are inside, slot_count of them (when not 0) running; each
    is cancelled at its deadline. Make it within the loop that runs it. Entering binds and says
    SERVING, or raises AddressTaken.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        services: Sequence[Service],
        *,
        metrics: ServiceMetrics | None = None,
        tracing: Tracing | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.metrics = metrics or ServiceMetrics("server")
        self.admission = admission or Admission(settings.in_flight_limit, self.metrics.service)
        self.port = 0
        self._settings = settings
        self._slots = AioSlots(settings.slot_count or settings.in_flight_limit)
        self._policy = RpcPolicy(
            default_deadline_ms=settings.default_deadline_ms,
            admission=self.admission,
            metrics=self.metrics,
            tracing=tracing or Tracing(),
        )
        self._services = tuple(services)
        self._serving = dict.fromkeys(["", *(service.name for service in services)], False)
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(options=server_options(settings))
        observe_server(
            self.metrics,
            self.admission,
            slot_count=settings.slot_count,
            waiting=lambda: self._slots.waiting_count,
            serving=lambda: self._serving[""],
        )
        observe_memory(self.metrics, MemoryBaseline(settings.memory_baseline_s))

    @property
    def address(self) -> str:
        """`host:port` as bound."""
        return join_address(self._settings.host, self.port)

    async def start(self) -> None:
        """Bind and serve, health saying NOT_SERVING still. Raises AddressTaken or OSError."""
        credentials = server_credentials(self._settings)
        await self._register()
        self.port = bind(self._server, self._settings.host, self._settings.port, credentials)
        await self._server.start()

    async def set_serving(self, serving: bool, service: str | None = None) -> None:
        """Tell health; of one service, or of all and of the server as a whole."""
        status = health_pb2.HealthCheckResponse.ServingStatus
        value = status.SERVING if serving else status.NOT_SERVING
        for name in list(self._serving) if service is None else [service]:
            await self._health.set(name, value)
            self._serving[name] = serving

    async def drain(self, hurry: asyncio.Event | None = None) -> None:
        """NOT_SERVING, lame duck, no new calls, in-flight ones to their end, stop.

        `hurry`, once set, cuts both the lame duck and the grace short.
        """
        hurry = hurry or asyncio.Event()
        await self.set_serving(False)
        await self._health.enter_graceful_shutdown()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hurry.wait(), self._settings.lame_duck_ms / 1000)
        stopping = asyncio.ensure_future(self._server.stop(self._settings.drain_grace_ms / 1000))
        idle = IdleWatch(self.admission)
        while not (await asyncio.wait((stopping,), timeout=IDLE_LOOK_S))[0]:
            if hurry.is_set() or idle.look():
                await self._server.stop(0)
        await stopping

    async def stop(self) -> None:
        """Cancel what is running and stop at once."""
        await self._server.stop(0)

    async def __aenter__(self) -> Self:
        await self.start()
        await self.set_serving(True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _register(self) -> None:
        registry = WrappingRegistry(
            self._server, lambda method: AioMethod(method, self._policy, self._slots).answer
        )
        for service in self._services:
            service.add_to_server(service.servicer, registry)
        await self.set_serving(False)
        names = [service.name for service in self._services]
        add_aio_standard_services(self._server, names, self._health)


class AioSlots:
    """`count` calls run at once, others wait in order; a cancelled task leaves at once."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def waiting_count(self) -> int:
        """Calls waiting now."""
        return len(self._waiters)

    def take(self) -> bool:
        """Take a free slot; False when there is none, and the call has to wait."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Take a slot as soon as those before have theirs."""
        granted = asyncio.get_running_loop().create_future()
        self._waiters.append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if not granted.cancelled():
                self.release()
            elif granted in self._waiters:
                self._waiters.remove(granted)
            raise

    def release(self) -> None:
        """Hand the slot to the first waiter, or free it."""
        while self._waiters:
            granted = self._waiters.popleft()
            # A task that was just cancelled may not have run yet to leave the queue.
            if not granted.cancelled():
                granted.set_result(None)
                return
        self._free += 1


class AioMethod:
    """One method with everything around it. Every call runs in a task of its own."""

    def __init__(self, method: Method, policy: RpcPolicy, slots: AioSlots) -> None:
        self._method = method
        self._policy = policy
        self._slots = slots

    async def answer(self, data: bytes, context: AioContext) -> bytes:
        """Answer one call, or abort it with the status of what was raised."""
        call = self._policy.begin(
            self._method,
            context.invocation_metadata() or (),
            context.time_remaining(),
            context.cancelled,
        )
        enter_call(call)
        try:
            response = await self._run_admitted(call, data, context)
        except asyncio.CancelledError as error:
            self._policy.failed(call, error)
            raise
        except Exception as error:  # noqa: BLE001
            await self._abort(call, context, error)
        self._policy.succeeded(call)
        if call.trailing_metadata:
            context.set_trailing_metadata(call.trailing_metadata)
        return response

    async def _run_admitted(self, call: Call, data: bytes, context: AioContext) -> bytes:
        self._policy.admission.acquire()
        try:
            call.raise_if_over()
            if call.bounded:
                # gRPC cancels this task at the caller's deadline; a second timer is not needed.
                return await self._run(call, data, context)
            return await self._run_bounded(call, data, context)
        finally:
            self._policy.admission.release()

    async def _run_bounded(self, call: Call, data: bytes, context: AioContext) -> bytes:
        scope = asyncio.timeout(call.time_left_s())
        try:
            async with scope:
                return await self._run(call, data, context)
        except TimeoutError:
            if scope.expired():
                raise DeadlineExceeded(f"{call.method}: the deadline passed") from None
            raise

    async def _run(self, call: Call, data: bytes, context: AioContext) -> bytes:
        if not self._slots.take():
            await self._slots.wait()
            call.queued_ns = call.elapsed_ns()
        try:
            call.started = True
            response = await self._method.behavior(self._method.request(data), context)
            return self._method.serialize(response)
        finally:
            self._slots.release()

    async def _abort(self, call: Call, context: AioContext, error: Exception) -> NoReturn:
        status = self._policy.failed(call, error)
        await context.abort(
            status.code, status.details, (*call.trailing_metadata, *status.trailing_metadata)
        )
