"""A second set of fake servers behind a gateway, and the arms file that names them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fake_backends import (
    FakeEncoder,
    FakeReranker,
    FakeShard,
    encoder_service,
    rerank_service,
    shard_service,
)
from tests.support.gateway_stack import GatewayStack, start_service


@dataclass(slots=True)
class OtherServers:
    """The fakes of another release, and what an arms file says of them."""

    encoder: FakeEncoder
    shards: list[FakeShard]
    reranker: FakeReranker
    targets: dict[str, Any]


async def start_other_servers(
    stack: GatewayStack, release_id: str, *, fingerprint: str = ""
) -> OtherServers:
    """Start encoder, shards and reranker of another release over the same passages."""
    count = len(stack.shards)
    shards = [FakeShard(stack.corpus, index, count) for index in range(count)]
    encoder, reranker = FakeEncoder(), FakeReranker()
    for shard in shards:
        shard.release_id = release_id
    if fingerprint:
        encoder.fingerprint = fingerprint
    addresses = {
        "encoder": await start_service(stack, f"{release_id}/encoder", encoder_service(encoder)),
        **{
            f"shard-{shard.index}": await start_service(
                stack, f"{release_id}/shard-{shard.index}", shard_service(shard)
            )
            for shard in shards
        },
        "reranker": await start_service(stack, f"{release_id}/reranker", rerank_service(reranker)),
    }
    targets = _targets(addresses, count, release_id)
    return OtherServers(encoder, shards, reranker, targets)


def own_targets(stack: GatewayStack, release_id: str = "") -> dict[str, Any]:
    """What an arms file says of the servers that the stack began with."""
    addresses = {name: server.address for name, server in stack.servers.items()}
    return _targets(addresses, len(stack.shards), release_id)


def _targets(addresses: dict[str, str], shard_count: int, release_id: str) -> dict[str, Any]:
    return {
        "release": release_id,
        "encoder": [addresses["encoder"]],
        "shards": [[addresses[f"shard-{index}"]] for index in range(shard_count)],
        "reranker": [addresses["reranker"]],
    }


def write_arms(path: Path, baseline: dict[str, Any], canary: dict[str, Any] | None = None) -> None:
    """Write an arms file as launchers do, whole or not at all."""
    staged = path.with_suffix(".staged")
    staged.write_text(json.dumps({"baseline": baseline, "canary": canary}))
    staged.replace(path)
