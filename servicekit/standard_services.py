"""Health and reflection, made safe against bytes that are no message.

grpc.aio answers such bytes with UNKNOWN and the name of a Python class; a synchronous stream loses
a thread of the pool for good. Our own services parse their requests themselves.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from retrieval_core.errors import InvalidInput
from servicekit.binding import Handler, Registry
from servicekit.status import wire_status

AioContext = grpc.aio.ServicerContext[Any, Any]
Behavior = Callable[..., Any]

_UNPARSABLE = object()
_STATUS = wire_status(InvalidInput("request", "not a valid message", reason="UNPARSABLE"))


def add_sync_standard_services(
    server: Registry, names: Iterable[str], health_servicer: health.HealthServicer
) -> None:
    """Register health and reflection of the services `names` with a synchronous server."""
    registry = _TolerantRegistry(server, _SyncGuard())
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, registry)
    reflected = reflection.ReflectionServicer(_reflected_names(names))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, registry)


def add_aio_standard_services(
    server: Registry, names: Iterable[str], health_servicer: health.aio.HealthServicer
) -> None:
    """Register health and reflection of the services `names` with an asynchronous server."""
    registry = _TolerantRegistry(server, _AioGuard())
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, registry)
    reflected = reflection.aio.ReflectionServicer(_reflected_names(names))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, registry)


def _reflected_names(names: Iterable[str]) -> list[str]:
    return [*names, health.SERVICE_NAME, reflection.SERVICE_NAME]


class _Guard(Protocol):
    """Puts a check for unparsable requests before a behavior; one for each flavour of server."""

    def one(self, behavior: Behavior) -> Behavior:
        """Guard a behavior that takes one request."""

    def many(self, behavior: Behavior) -> Behavior:
        """Guard a behavior that takes a stream of requests."""


@dataclass(frozen=True, slots=True)
class _TolerantRegistry:
    """Stands in for the server while generated code registers."""

    server: Registry
    guard: _Guard

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler], /
    ) -> None:
        """Ignored: generated code hands the same methods to add_registered_method_handlers."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler], /
    ) -> None:
        """Register the guarded methods."""
        guarded = {name: self._guarded(handler) for name, handler in method_handlers.items()}
        generic = grpc.method_handlers_generic_handler(service_name, guarded)
        self.server.add_generic_rpc_handlers((generic,))
        self.server.add_registered_method_handlers(service_name, guarded)

    def _guarded(self, handler: Handler) -> Handler:
        make, behavior = self._kind(handler)
        parse = _tolerant(handler.request_deserializer)
        return cast("Handler", make(behavior, parse, handler.response_serializer))

    def _kind(self, handler: Handler) -> tuple[Callable[..., object], Behavior]:
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler, self.guard.one(handler.unary_unary)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler, self.guard.one(handler.unary_stream)
        if handler.stream_stream is None:
            raise TypeError("health and reflection have no method that takes a stream for one")
        return grpc.stream_stream_rpc_method_handler, self.guard.many(handler.stream_stream)


def _tolerant(parse: Callable[[bytes], object] | None) -> Callable[[bytes], object]:
    def parse_or_mark(data: bytes) -> object:
        try:
            return data if parse is None else parse(data)
        except Exception:  # noqa: BLE001 - whatever the parser raises, these are no message
            return _UNPARSABLE

    return parse_or_mark


class _SyncGuard:
    def one(self, behavior: Behavior) -> Behavior:
        # wraps() also carries the mark by which health's Watch runs without a thread of its own.
        @functools.wraps(behavior)
        def guarded(request: object, context: grpc.ServicerContext, *rest: object) -> object:
            self._refuse(request, context)
            return behavior(request, context, *rest)

        return guarded

    def many(self, behavior: Behavior) -> Behavior:
        def guarded(requests: Iterator[object], context: grpc.ServicerContext) -> Iterator[object]:
            return cast("Iterator[object]", behavior(self._checked(requests, context), context))

        return guarded

    def _checked(
        self, requests: Iterator[object], context: grpc.ServicerContext
    ) -> Iterator[object]:
        for request in requests:
            self._refuse(request, context)
            yield request

    def _refuse(self, request: object, context: grpc.ServicerContext) -> None:
        if request is _UNPARSABLE:
            context.set_trailing_metadata(_STATUS.trailing_metadata)
            context.abort(_STATUS.code, _STATUS.details)


class _AioGuard:
    def one(self, behavior: Behavior) -> Behavior:
        async def guarded(request: object, context: AioContext) -> object:
            await self._refuse(request, context)
            return await behavior(request, context)

        return guarded

    def many(self, behavior: Behavior) -> Behavior:
        async def guarded(
            requests: AsyncIterator[object], context: AioContext
        ) -> AsyncIterator[object]:
            async for response in behavior(self._checked(requests, context), context):
                yield response

        return guarded

    async def _checked(
        self, requests: AsyncIterator[object], context: AioContext
    ) -> AsyncIterator[object]:
        async for request in requests:
            await self._refuse(request, context)
            yield request

    async def _refuse(self, request: object, context: AioContext) -> None:
        if request is _UNPARSABLE:
            await context.abort(_STATUS.code, _STATUS.details, _STATUS.trailing_metadata)
