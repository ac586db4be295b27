"""Registering services and binding an address, the same for both flavours of server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc

from servicekit.rpc import Method
from servicekit.settings import ServiceSettings

ServerOption = tuple[str, int | str]
# Quoted: only the stubs know that the class is generic.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_PING_INTERVAL_MS = 5_000
_HANDSHAKE_TIMEOUT_MS = 5_000
_KEEPALIVE_MS = 10_000
_PING_TIMEOUT_MS = 5_000


class AddressTaken(OSError):
    """The address cannot be bound; the text names host:port."""


class Registry(Protocol):
    """The part of a gRPC server, of either flavour, that generated code registers with."""

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler], /
    ) -> None:
        """Take handlers that look methods up by name."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler], /
    ) -> None:
        """Take handlers that gRPC looks up itself."""


class Bindable(Protocol):
    """The part of a gRPC server, of either flavour, that takes addresses."""

    def add_insecure_port(self, address: str) -> int:
        """Bind for plain text."""

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """Bind for TLS."""


@dataclass(frozen=True, slots=True)
class Service:
    """A servicer, and the generated function that registers it.

    `name` is the full proto name; health is reported under it.
    """

    name: str
    add_to_server: Callable[[Any, Any], None]
    servicer: object


class WrappingRegistry:
    """Stands in for the server while generated code registers, and wraps every method on its way.

    Wrapping here instead of with gRPC's interceptors costs nothing per call, and leaves parsing and
    serialising to us, so that both are admitted, timed and answered properly when they fail.
    """

    def __init__(self, server: Registry, wrap: Callable[[Method], Callable[..., Any]]) -> None:
        self._server = server
        self._wrap = wrap

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler], /
    ) -> None:
        """Ignored: generated code hands the same methods to add_registered_method_handlers."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler], /
    ) -> None:
        """Register the wrapped methods under both kinds of look-up."""
        wrapped = {
            name: self._wrapped(f"{service_name}/{name}", handler)
            for name, handler in method_handlers.items()
        }
        generic = grpc.method_handlers_generic_handler(service_name, wrapped)
        self._server.add_generic_rpc_handlers((generic,))
        self._server.add_registered_method_handlers(service_name, wrapped)

    def _wrapped(self, name: str, handler: Handler) -> Handler:
        parse, serialize = handler.request_deserializer, handler.response_serializer
        if handler.unary_unary is None or parse is None or serialize is None:
            raise TypeError(f"{name}: only unary methods with messages are served")
        method = Method(name, parse, serialize, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(self._wrap(method))


def server_options(settings: ServiceSettings) -> list[ServerOption]:
    """gRPC channel arguments of a server."""
    return [
        *_connection_age(settings),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Otherwise two servers share one port without either being told.
        ("grpc.so_reuseport", 0),
        # Callers ping to notice frozen servers; without these they are cut off for it.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_INTERVAL_MS),
        # A frozen caller's connection is closed, and its calls are cancelled, after this.
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_MS),
        # A peer that connects and never speaks must not hold a socket for long.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_TIMEOUT_MS),
    ]


def _connection_age(settings: ServiceSettings) -> list[ServerOption]:
    if settings.max_connection_age_ms == 0:
        return []
    return [
        ("grpc.max_connection_age_ms", settings.max_connection_age_ms),
        # Calls in flight on a connection that is renewed have as long as in a drain.
        ("grpc.max_connection_age_grace_ms", int(settings.drain_grace_ms)),
    ]


def join_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(server: Bindable, host: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
    """Bind a server; returns the port. Raises AddressTaken naming the address."""
    address = join_address(host, port)
    _try_address(host, port)
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise AddressTaken(f"cannot bind {address}") from error


def _try_address(host: str, port: int) -> None:
    # gRPC does not say why it could not bind, and writes a line of its own to stderr.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise AddressTaken(f"cannot bind {join_address(host, port)}: {error.strerror}") from error
