"""TLS and mutual TLS: credentials of servers and of channels from PEM files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    # Clients import this module too, and have no settings to load pydantic for.
    from servicekit.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class ChannelTls:
    """How a channel proves the server, and itself where the server asks.

    `ca_file` None trusts the roots that gRPC brings. `server_name` is checked instead of the
    target's name, which a list of addresses needs.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""


def server_credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """None means plain text. Raises OSError naming a file that cannot be read."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    pair = (settings.tls_key_file.read_bytes(), settings.tls_cert_file.read_bytes())
    roots = _read(settings.tls_client_ca_file)
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)


def channel_credentials(tls: ChannelTls) -> grpc.ChannelCredentials:
    """Raises OSError naming a file that cannot be read."""
    return grpc.ssl_channel_credentials(
        _read(tls.ca_file), _read(tls.key_file), _read(tls.cert_file)
    )


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
