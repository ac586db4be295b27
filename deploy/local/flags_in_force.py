"""Waiting until gateways have put the flags file in force."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.gateways import ask_health
from retrieval_core.errors import FailedPrecondition, InvalidInput, NotFound, Unavailable

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class InForce:
    """A gateway that has the file: the generation of its flags, and how long that took."""

    gateway: str
    generation: int
    took_s: float


def wait_until_in_force(path: Path, gateways: Sequence[str], timeout_s: float) -> list[InForce]:
    """Return once every gateway (host:port of its HTTP) has the file as it is now.

    NotFound without the file, Unavailable when a gateway does not answer, FailedPrecondition with
    its reason when one answers and has other flags after `timeout_s`.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise NotFound(f"{path} is not there, so no gateway can have it") from None
    began_s = time.monotonic()
    return [_wait(gateway, digest, began_s, timeout_s) for gateway in gateways]


def _wait(gateway: str, digest: str, began_s: float, timeout_s: float) -> InForce:
    while True:
        found, problem = _ask(gateway)
        took_s = time.monotonic() - began_s
        if found.get("digest") == digest and not found.get("error"):
            return InForce(gateway, int(found["generation"]), round(took_s, 3))
        if took_s > timeout_s:
            raise problem or FailedPrecondition(_why_not(gateway, found), reason="NOT_IN_FORCE")
        time.sleep(_POLL_S)


def _ask(gateway: str) -> tuple[dict[str, Any], Unavailable | None]:
    host, port = _address(gateway)
    try:
        return ask_health(host, port).get("flags") or {}, None
    except OSError as error:
        return {}, Unavailable(f"{gateway} does not answer: {error}")


def _address(gateway: str) -> tuple[str, int]:
    host, _, port = gateway.rpartition(":")
    if not host or not port.isdecimal():
        raise InvalidInput("--wait", f"is {gateway!r}, must be HOST:PORT")
    return host, int(port)


def _why_not(gateway: str, found: dict[str, Any]) -> str:
    if error := found.get("error"):
        return f"{gateway} refuses the file: {error}"
    source = found.get("source", "unknown")
    return f"{gateway} has other flags (from {source}); does GATEWAY_FLAGS_FILE name this file?"
