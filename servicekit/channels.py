"""Channels to other servers: round robin over replicas, by health, with quick reconnects."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from servicekit.status import RETRYABLE_CODE_NAMES
from servicekit.tls import ChannelTls, channel_credentials

__all__ = [
    "ChannelOptions",
    "ChannelTls",
    "open_aio_channel",
    "open_channel",
    "service_config",
    "target_uri",
]


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """How a channel behaves.

    `health_service` is the name asked of grpc.health.v1 ("" asks for the whole server); None leaves
    health checking out. `attempt_count` 1 turns the retry on UNAVAILABLE off.
    """

    health_service: str | None = ""
    tls: ChannelTls | None = None
    max_message_bytes: int = 4 * 1024 * 1024
    attempt_count: int = 2
    reconnect_max_ms: int = 1000
    keepalive_ms: int = 10_000
    ping_timeout_ms: int = 2_000
    outlier_detection: bool = True


_DEFAULTS = ChannelOptions()


def open_channel(targets: Sequence[str], options: ChannelOptions = _DEFAULTS) -> grpc.Channel:
    """A synchronous channel over `targets`; see target_uri for what they may be."""
    uri, arguments = target_uri(targets), channel_arguments(options)
    if options.tls is None:
        return grpc.insecure_channel(uri, arguments)
    return grpc.secure_channel(uri, channel_credentials(options.tls), arguments)


def open_aio_channel(
    targets: Sequence[str], options: ChannelOptions = _DEFAULTS
) -> grpc.aio.Channel:
    """An asynchronous channel over `targets`; open it within the loop that uses it."""
    uri, arguments = target_uri(targets), channel_arguments(options)
    if options.tls is None:
        return grpc.aio.insecure_channel(uri, arguments)
    return grpc.aio.secure_channel(uri, channel_credentials(options.tls), arguments)


def target_uri(targets: Sequence[str]) -> str:
    """One gRPC target for all replicas.

    Either one `host:port` or gRPC URI, whose name is resolved and spread over all its addresses, or
    several `address:port` of one IP version. Raises ValueError otherwise: several names cannot be
    put into one channel.
    """
    if not targets:
        raise ValueError("a channel needs at least one target")
    addresses = [target.replace("localhost:", "127.0.0.1:", 1) for target in targets]
    versions = {_ip_version(address) for address in addresses}
    if versions in ({4}, {6}):
        return f"ipv{versions.pop()}:{','.join(addresses)}"
    if len(addresses) > 1:
        raise ValueError(
            f"several targets must be address:port of one IP version, or one name: {targets}"
        )
    uri = addresses[0]
    return uri if uri.startswith(("dns:", "unix:", "ipv4:", "ipv6:")) else f"dns:///{uri}"


def channel_arguments(options: ChannelOptions) -> list[tuple[str, Any]]:
    """gRPC channel arguments."""
    arguments: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(service_config(options))),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        # Servers of one system talk directly, whatever proxy the environment names for the web.
        ("grpc.enable_http_proxy", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # Also how long one attempt to connect may take.
        ("grpc.min_reconnect_backoff_ms", options.reconnect_max_ms),
        ("grpc.max_reconnect_backoff_ms", options.reconnect_max_ms),
        # New replicas behind a name are looked for this often once one is lost.
        ("grpc.dns_min_time_between_resolutions_ms", options.reconnect_max_ms),
        ("grpc.keepalive_time_ms", options.keepalive_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # grpc.keepalive_timeout_ms does nothing here; this is what removes a frozen server.
        ("grpc.http2.ping_timeout_ms", options.ping_timeout_ms),
        # Channels of one process must not share connections, or they share each other's backoff.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if options.tls is not None and options.tls.server_name:
        arguments.append(("grpc.ssl_target_name_override", options.tls.server_name))
    return arguments


def service_config(options: ChannelOptions) -> dict[str, Any]:
    """The gRPC service config: balancing, health, retry. Deadlines go with each call."""
    config: dict[str, Any] = {"loadBalancingConfig": [_balancing(options)]}
    if options.health_service is not None:
        config["healthCheckConfig"] = {"serviceName": options.health_service}
    if options.attempt_count > 1:
        config["methodConfig"] = [{"name": [{}], "retryPolicy": _retry(options.attempt_count)}]
    return config


def _balancing(options: ChannelOptions) -> dict[str, Any]:
    round_robin: dict[str, Any] = {"round_robin": {}}
    if not options.outlier_detection:
        return round_robin
    return {
        "outlier_detection_experimental": {
            "interval": "1s",
            "baseEjectionTime": "1s",
            "maxEjectionTime": "5s",
            "maxEjectionPercent": 50,
            # It counts every status but OK. Overload and bad requests hit all replicas alike, and
            # leaving half of them out would make the first worse: only what fails always goes.
            "failurePercentageEjection": {
                "threshold": 90,
                "minimumHosts": 2,
                "requestVolume": 10,
            },
            "childPolicy": [round_robin],
        }
    }


def _retry(attempt_count: int) -> dict[str, Any]:
    return {
        "maxAttempts": attempt_count,
        "initialBackoff": "0.005s",
        "maxBackoff": "0.05s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": list(RETRYABLE_CODE_NAMES),
    }


def _ip_version(address: str) -> int | None:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None
