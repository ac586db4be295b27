"""The two arms as the arms file names them: which servers make the baseline, which the canary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrieval_core.errors import InvalidInput

BASELINE = "baseline"
CANARY = "canary"

Addresses = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArmTargets:
    """Servers of one arm: replicas as `host:port`; a shard is a tuple of replicas.

    `reranker` may be empty; `release` is what the shards must serve, "" whatever they do.
    """

    encoder: Addresses
    shards: tuple[Addresses, ...]
    reranker: Addresses = ()
    release: str = ""

    @property
    def addresses(self) -> tuple[Addresses, tuple[Addresses, ...], Addresses]:
        """What tells two sets of servers apart."""
        return (self.encoder, self.shards, self.reranker)


@dataclass(frozen=True, slots=True)
class ArmsPlan:
    """What is to be served; without canary targets there is none, or it uses the baseline's."""

    baseline: ArmTargets
    canary: ArmTargets | None = None


def parse_arms(text: str) -> ArmsPlan:
    """Read an arms file. Raises InvalidInput naming what is wrong; nothing of it counts then."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("arms", f"is no JSON: {error}", reason="ARMS_UNPARSABLE") from None
    arms = _mapping(document, "arms", {BASELINE, CANARY})
    if BASELINE not in arms:
        raise _refusal("arms", "names no baseline")
    canary = arms.get(CANARY)
    return ArmsPlan(
        _targets(arms[BASELINE], BASELINE),
        None if canary is None else _targets(canary, CANARY),
    )


def _targets(value: object, field: str) -> ArmTargets:
    arm = _mapping(value, field, {"release", "encoder", "shards", "reranker"})
    release = arm.get("release", "")
    if not isinstance(release, str):
        raise _refusal(f"{field}.release", "is no text")
    shards = arm.get("shards")
    if not isinstance(shards, list) or not shards:
        raise _refusal(f"{field}.shards", "is no list of shards")
    return ArmTargets(
        _replicas(arm.get("encoder"), f"{field}.encoder"),
        tuple(_replicas(one, f"{field}.shards[{index}]") for index, one in enumerate(shards)),
        # A corpus may be served without one.
        _replicas(arm["reranker"], f"{field}.reranker") if arm.get("reranker") else (),
        release,
    )


def _replicas(value: object, field: str) -> Addresses:
    if not isinstance(value, list) or not value:
        raise _refusal(field, "is no list of addresses")
    for address in value:
        if not isinstance(address, str) or ":" not in address:
            raise _refusal(field, f"has {address!r}, which is no host:port")
    return tuple(value)


def _mapping(value: object, field: str, keys: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _refusal(field, "is no JSON object")
    if unknown := sorted(set(value) - keys):
        raise _refusal(f"{field}.{unknown[0]}", f"is unknown; there are {', '.join(sorted(keys))}")
    return value


def _refusal(field: str, description: str) -> InvalidInput:
    return InvalidInput(field, description, reason="ARMS_REFUSED")
