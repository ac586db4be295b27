"""Whose query it is: the key that decides on the arm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

METADATA_KEY = "routing-key"

_MAX_CHARACTERS = 256


class CallerContext(Protocol):
    """The part of a gRPC context that says who calls."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """What the caller sent along."""

    def peer(self) -> str:
        """The caller's address as gRPC writes it, `ipv4:127.0.0.1:50000`."""


def routing_key(own: str, context: CallerContext) -> str:
    """The key of a request: its own, else the metadata's, else the caller's address."""
    # Longer ones are refused later; no need to hash them.
    return own[:_MAX_CHARACTERS] or _from_metadata(context) or caller_address(context.peer())


def _from_metadata(context: CallerContext) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == METADATA_KEY and isinstance(value, str):
            return value[:_MAX_CHARACTERS]
    return ""


def caller_address(peer: str) -> str:
    """The address without the port, which changes with every connection."""
    if peer.startswith(("ipv4:", "ipv6:")):
        return peer.rpartition(":")[0]
    return peer
