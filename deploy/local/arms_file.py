"""The file that tells every gateway which servers make the baseline and the canary."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.local.state import StackState, StartedServer
from releases.durable import write_bytes_durably

ARMS_FILE_NAME = "arms.json"


def write_arms(path: Path, state: StackState) -> None:
    """Replace the file in one step with what the state says."""
    content = json.dumps(arms_of(state), indent=2) + "\n"
    write_bytes_durably(path, content.encode())


def arms_of(state: StackState) -> dict[str, Any]:
    """The contents: `baseline`, and `canary` or null; each with its release and its addresses."""
    return {
        "baseline": _arm(state, state.baseline),
        "canary": None if state.canary is None else _arm(state, state.canary),
    }


def _arm(state: StackState, colour: str) -> dict[str, Any]:
    servers = state.servers_of(colour)
    by_module = {
        module: [server for server in servers if server.spec.module == module]
        for module in ("encoder_svc", "index_svc", "rerank_svc")
    }
    return {
        "release": state.group(colour).release_id,
        "encoder": _addresses(by_module["encoder_svc"]),
        "shards": _shards(by_module["index_svc"]),
        "reranker": _addresses(by_module["rerank_svc"]),
    }


def _shards(servers: Sequence[StartedServer]) -> list[list[str]]:
    numbers = sorted({_shard_number(server) for server in servers})
    return [
        _addresses([server for server in servers if _shard_number(server) == number])
        for number in numbers
    ]


def _shard_number(server: StartedServer) -> int:
    return int(server.spec.settings["INDEX_SHARD"])


def _addresses(servers: Sequence[StartedServer]) -> list[str]:
    return [server.spec.address for server in servers]
