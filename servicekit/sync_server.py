"""A gRPC server with a thread pool, for work that runs inline: FAISS, numpy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent import futures
from types import TracebackType
from typing import NoReturn, Self

import grpc
from grpc_health.v1 import health, health_pb2

from servicekit.admission import Admission
from servicekit.binding import Service, WrappingRegistry, bind, join_address, server_options
from servicekit.call import Call, enter_call, leave_call
from servicekit.draining import IDLE_LOOK_S, Flag, IdleWatch
from servicekit.gauges import observe_memory, observe_server
from servicekit.memory import MemoryBaseline
from servicekit.rpc import Method, RpcPolicy
from servicekit.settings import ServiceSettings
from servicekit.slots import Slots
from servicekit.standard_services import add_sync_standard_services
from servicekit.telemetry import ServiceMetrics
from servicekit.tls import server_credentials
from servicekit.tracing import Tracing

# Threads beyond those that admitted calls can hold: they refuse, answer health and reflection.
_SPARE_THREADS = 16


class SyncServer:
    """Serves `services` with health and reflection; a context manager that starts and stops.

    At most settings.in_flight_limit calls are inside, slot_count of them running. Entering binds
    and says SERVING, or raises AddressTaken.
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
        self._slots = Slots(settings.slot_count or os.cpu_count() or 1)
        policy = RpcPolicy(
            default_deadline_ms=settings.default_deadline_ms,
            admission=self.admission,
            metrics=self.metrics,
            tracing=tracing or Tracing(),
        )
        self._pool = futures.ThreadPoolExecutor(
            settings.in_flight_limit + _SPARE_THREADS, thread_name_prefix="rpc"
        )
        self._server = grpc.server(self._pool, options=server_options(settings))
        self._health = health.HealthServicer()
        self._serving = dict.fromkeys(["", *(service.name for service in services)], False)
        self._register(services, policy)
        observe_server(
            self.metrics,
            self.admission,
            slot_count=self._slots.count,
            waiting=lambda: self._slots.waiting_count,
            serving=lambda: self._serving[""],
        )
        observe_memory(self.metrics, MemoryBaseline(settings.memory_baseline_s))

    @property
    def address(self) -> str:
        """`host:port` as bound."""
        return join_address(self._settings.host, self.port)

    def start(self) -> None:
        """Bind and serve, health saying NOT_SERVING still. Raises AddressTaken or OSError."""
        credentials = server_credentials(self._settings)
        self.port = bind(self._server, self._settings.host, self._settings.port, credentials)
        self._server.start()

    def set_serving(self, serving: bool, service: str | None = None) -> None:
        """Tell health; of one service, or of all and of the server as a whole."""
        status = health_pb2.HealthCheckResponse.ServingStatus
        value = status.SERVING if serving else status.NOT_SERVING
        for name in list(self._serving) if service is None else [service]:
            self._health.set(name, value)
            self._serving[name] = serving

    def drain(self, hurry: Flag | None = None) -> None:
        """NOT_SERVING, lame duck, no new calls, in-flight ones to their end, stop.

        `hurry`, once set, cuts both the lame duck and the grace short.
        """
        hurry = hurry or Flag()
        self.set_serving(False)
        self._health.enter_graceful_shutdown()
        hurry.wait(self._settings.lame_duck_ms / 1000)
        stopped = self._server.stop(self._settings.drain_grace_ms / 1000)
        idle = IdleWatch(self.admission)
        while not stopped.wait(IDLE_LOOK_S):
            if hurry.is_set() or idle.look():
                self._server.stop(0)

    def stop(self) -> None:
        """Cancel what is running and stop at once."""
        self._server.stop(0).wait()

    def __enter__(self) -> Self:
        self.start()
        self.set_serving(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._pool.shutdown()

    def _register(self, services: Sequence[Service], policy: RpcPolicy) -> None:
        registry = WrappingRegistry(
            self._server, lambda method: SyncMethod(method, policy, self._slots).answer
        )
        for service in services:
            service.add_to_server(service.servicer, registry)
        self.set_serving(False)
        names = [service.name for service in services]
        add_sync_standard_services(self._server, names, self._health)


class SyncMethod:
    """One method with everything around it. Runs on a thread of the pool."""

    def __init__(self, method: Method, policy: RpcPolicy, slots: Slots) -> None:
        self._method = method
        self._policy = policy
        self._slots = slots

    def answer(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer one call, or abort it with the status of what was raised."""
        call = self._policy.begin(
            self._method,
            context.invocation_metadata() or (),
            context.time_remaining(),
            lambda: not context.is_active(),
            context.add_callback,
        )
        token = enter_call(call)
        try:
            response = self._run_admitted(call, data, context)
        except Exception as error:  # noqa: BLE001
            self._abort(call, context, error)
        else:
            self._policy.succeeded(call)
        finally:
            leave_call(token)
        if call.trailing_metadata:
            context.set_trailing_metadata(call.trailing_metadata)
        return response

    def _run_admitted(self, call: Call, data: bytes, context: grpc.ServicerContext) -> bytes:
        self._policy.admission.acquire()
        try:
            call.raise_if_over()
            if self._slots.acquire(call):
                call.queued_ns = call.elapsed_ns()
            try:
                return self._run(call, data, context)
            finally:
                self._slots.release()
        finally:
            self._policy.admission.release()

    def _run(self, call: Call, data: bytes, context: grpc.ServicerContext) -> bytes:
        call.started = True
        response = self._method.behavior(self._method.request(data), context)
        call.raise_if_over()
        return self._method.serialize(response)

    def _abort(self, call: Call, context: grpc.ServicerContext, error: Exception) -> NoReturn:
        status = self._policy.failed(call, error)
        context.set_trailing_metadata((*call.trailing_metadata, *status.trailing_metadata))
        context.abort(status.code, status.details)
