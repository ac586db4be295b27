"""Where gateways are, unless an operator says: those of the local stack, or the usual ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.layout import DEFAULT_PORTS
from deploy.local.state import read_state
from retrieval_core.errors import InvalidInput

_DEFAULT_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class GatewayAddresses:
    """`host:port` of the gateways: of their gRPC and of their HTTP, in the same order."""

    grpc: tuple[str, ...]
    http: tuple[str, ...]


def find_gateways(
    run_folder: Path, grpc: Sequence[str] = (), http: Sequence[str] = ()
) -> GatewayAddresses:
    """Those that are named; else those of the stack of `run_folder`; else the usual ports."""
    found = _of_stack(run_folder)
    return GatewayAddresses(tuple(grpc) or found.grpc, tuple(http) or found.http)


def split_address(address: str) -> tuple[str, int]:
    """Host and port. InvalidInput for what is no host:port."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidInput("address", f"is {address!r}, must be HOST:PORT")
    return host, int(port)


def _of_stack(run_folder: Path) -> GatewayAddresses:
    try:
        state = read_state(run_folder)
    except StackError:
        state = None
    if state is None or not state.gateways:
        return GatewayAddresses(
            (f"{_DEFAULT_HOST}:{DEFAULT_PORTS.gateway}",),
            (f"{_DEFAULT_HOST}:{DEFAULT_PORTS.http}",),
        )
    specs = [server.spec for server in state.gateways]
    return GatewayAddresses(
        tuple(spec.address for spec in specs),
        tuple(f"{spec.host}:{spec.other_ports[0]}" for spec in specs),
    )
