"""The gateway as a process: what it refuses to start with, how it leaves, real shards behind it."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from retrieval.v1.retrieval_pb2 import MissingShard, SearchRequest, SearchResponse
from retrieval.v1.retrieval_pb2_grpc import RetrievalServiceStub

from retrieval_core.hits import rank_order
from retrieval_core.vectors import Float32Matrix
from servicekit.matrices import matrix_to_message
from tests.support.server_process import ServerProcess, server_process
from tests.support.tiny_release import TinyRelease, build_tiny_release, queries_near, tiny_corpus

# Nothing listens on the discard port of this machine.
NOBODY = "127.0.0.1:9"
ALONE = {
    "GATEWAY_PORT": "0",
    "GATEWAY_HTTP_PORT": "0",
    "GATEWAY_ENCODER": NOBODY,
    "GATEWAY_SHARDS": NOBODY,
    "GATEWAY_RERANKER": "",
    "GATEWAY_LAME_DUCK_MS": "0",
}


def run_until_exit(environ: Mapping[str, str]) -> tuple[int, str]:
    with server_process("gateway", environ) as server:
        return server.wait_exit(), server.log


def test_all_settings_that_cannot_be_used_are_told_at_once() -> None:
    code, log = run_until_exit({"GATEWAY_SHARDS": "", "GATEWAY_PORT": "x", "GATEWAY_SHARD": "a:1"})
    assert code == 2
    assert "GATEWAY_PORT" in log
    assert "GATEWAY_SHARD: no such setting" in log


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "GATEWAY_HTTP_PORT"])
def test_a_taken_port_is_named(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, log = run_until_exit({**ALONE, name: str(port)})
    assert code == 3
    assert f"127.0.0.1:{port}" in log


def test_it_starts_alone_says_what_is_missing_and_stops_as_asked() -> None:
    with server_process("gateway", ALONE) as server:
        server.wait_serving()
        with pytest.raises(urllib.error.HTTPError) as caught:
            read_health(server)
        body = json.load(caught.value)
        caught.value.close()
        server.terminate()
        assert server.wait_exit() == 0
    assert body["status"] == "unavailable"
    assert body["services"]["shard-0"]["serving"] is False
    assert f"shard-0 at {NOBODY}" in server.log


def test_http_can_be_off() -> None:
    with server_process("gateway", {**ALONE, "GATEWAY_HTTP_ENABLED": "false"}) as server:
        server.wait_serving()
        server.terminate()
        assert server.wait_exit() == 0
    assert "http_address" not in server.log


def read_health(server: ServerProcess) -> Any:
    address = next(
        fields["http_address"]
        for fields in map(json.loads, json_lines(server))
        if "http_address" in fields
    )
    with urllib.request.urlopen(f"http://{address}/health", timeout=10) as answer:
        return json.load(answer)


def json_lines(server: ServerProcess) -> list[str]:
    return [line for line in server.lines if line.startswith("{")]


@dataclass(slots=True)
class RealShards:
    """Two shard processes of one release behind a gateway process."""

    release: TinyRelease
    shards: list[ServerProcess]
    gateway: ServerProcess
    stub: Any

    def search(self, query: Float32Matrix, **changes: Any) -> SearchResponse:
        request = SearchRequest(vector=matrix_to_message(query), **changes)
        response: SearchResponse = self.stub.Search(request, timeout=20)
        return response


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    folder: Path = tmp_path_factory.mktemp("releases")
    return build_tiny_release(folder, corpus=tiny_corpus(400), shard_count=2)


@pytest.fixture
def stack(release: TinyRelease) -> Iterator[RealShards]:
    with ExitStack() as exits:
        shards = [
            exits.enter_context(server_process("index_svc", index_settings(release, index)))
            for index in range(2)
        ]
        addresses = [shard.wait_serving() for shard in shards]
        settings = {
            **ALONE,
            "GATEWAY_SHARDS": ";".join(addresses),
            "GATEWAY_SHARD_TIMEOUT_MS": "400",
            "GATEWAY_SHARD_GRACE_MS": "400",
        }
        gateway = exits.enter_context(server_process("gateway", settings))
        channel = exits.enter_context(grpc.insecure_channel(gateway.wait_serving()))
        yield RealShards(release, shards, gateway, RetrievalServiceStub(channel))
        for shard in shards:
            shard.process.send_signal(signal.SIGCONT)


def index_settings(release: TinyRelease, index: int) -> dict[str, str]:
    return {"INDEX_PORT": "0", "INDEX_RELEASE": str(release.folder), "INDEX_SHARD": str(index)}


def wait_for(condition: Callable[[], bool], limit_s: float) -> float:
    """Seconds until the condition holds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit_s
        time.sleep(0.02)
    return time.monotonic() - started


def test_exact_search_over_real_shards_is_the_flat_truth(stack: RealShards) -> None:
    corpus = stack.release.corpus
    for query in queries_near(corpus.vectors, 10):
        response = stack.search(query[None, :], exact=True, skip_rerank=True, limit=30)
        scores = (corpus.vectors @ query).astype(np.float32)
        best = corpus.passage_ids[rank_order(scores, corpus.passage_ids)[:30]]
        found = [hit.passage.passage_id for hit in response.hits]
        assert response.coverage.ratio == 1.0
        # Sums in another order may swap passages whose scores agree to the last bits.
        assert sorted(found) == sorted(best.tolist())
        assert np.allclose(
            [hit.score for hit in response.hits], np.sort(scores)[::-1][:30], atol=1e-6
        )


def test_a_frozen_shard_costs_its_timeout_then_nothing_and_its_thaw_is_noticed(
    stack: RealShards,
) -> None:
    query = queries_near(stack.release.corpus.vectors, 1)

    def ask() -> tuple[SearchResponse, float]:
        started = time.monotonic()
        response = stack.search(query, skip_rerank=True)
        return response, time.monotonic() - started

    assert ask()[0].coverage.ratio == 1.0
    stack.shards[1].process.send_signal(signal.SIGSTOP)
    response, took_s = ask()
    assert response.coverage.ratio == 0.5
    assert response.coverage.missing[0].reason == MissingShard.REASON_TIMED_OUT
    assert 0.3 < took_s < 5.0

    wait_for(lambda: "set aside" in ask()[0].coverage.missing[0].detail, 20)
    assert min(ask()[1] for _ in range(3)) < 0.4

    stack.shards[1].process.send_signal(signal.SIGCONT)
    assert wait_for(lambda: ask()[0].coverage.ratio == 1.0, 20) < 5.0
