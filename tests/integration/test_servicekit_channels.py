"""Round-robin channels: who gets calls, and who does not."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import grpc
import pytest
from retrieval.v1 import rerank_pb2, rerank_pb2_grpc

from retrieval_core.errors import FailedPrecondition, Overloaded, RetrievalError, Unavailable
from servicekit.channels import ChannelOptions, open_channel
from servicekit.settings import ServiceSettings
from servicekit.sync_server import SyncServer
from tests.unit.servicekit.samples import NAME, Gate, Sample, sample_service

CALLS = {"method": f"{NAME}/Rerank", "code": "OK"}


class Failing(Sample):
    """Fails as often as told: every call whose turn is in `turns` of 10."""

    def __init__(self, error: RetrievalError, turns: int) -> None:
        super().__init__(Gate())
        self.error = error
        self.turns = turns
        self.asked_count = 0

    def Rerank(self, request: Any, context: Any) -> rerank_pb2.RerankResponse:  # noqa: N802
        self.asked_count += 1
        if self.asked_count % 10 < self.turns:
            raise self.error
        return super().Rerank(request, context)


class Noting(Sample):
    """Notes the connections that calls came over."""

    def __init__(self) -> None:
        super().__init__(Gate())
        self.peers: set[str] = set()

    def Rerank(self, request: Any, context: Any) -> rerank_pb2.RerankResponse:  # noqa: N802
        self.peers.add(context.peer())
        return super().Rerank(request, context)


def server_of(servicer: object, **settings: Any) -> SyncServer:
    return SyncServer(ServiceSettings(**settings), [sample_service(servicer)])


def outcome(stub: rerank_pb2_grpc.RerankServiceStub) -> str:
    try:
        stub.Rerank(rerank_pb2.RerankRequest(), timeout=5)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def ok_count(server: SyncServer) -> float:
    return server.metrics.value("rpc_server_calls_total", **CALLS) or 0


def test_a_replica_that_is_not_serving_gets_no_calls() -> None:
    one, two = server_of(Sample(Gate())), server_of(Sample(Gate()))
    with one, two, open_channel([one.address, two.address]) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        two.set_serving(False)
        while ok_count(one) < 20:
            assert outcome(stub) == "OK"
            assert ok_count(two) < 50
        before = ok_count(two)
        assert {outcome(stub) for _ in range(30)} == {"OK"}
        assert ok_count(two) == before
        two.set_serving(True)
        end = time.monotonic() + 5
        while ok_count(two) == before:
            assert outcome(stub) == "OK"
            assert time.monotonic() < end


def test_health_of_one_service_counts_where_it_is_asked_for() -> None:
    one, two = server_of(Sample(Gate())), server_of(Sample(Gate()))
    options = ChannelOptions(health_service=NAME)
    with one, two, open_channel([one.address, two.address], options) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        two.set_serving(False, NAME)
        while ok_count(one) < 20:
            assert outcome(stub) == "OK"
            assert ok_count(two) < 50
        before = ok_count(two)
        assert {outcome(stub) for _ in range(30)} == {"OK"}
        assert ok_count(two) == before


def outcomes_beside_a_replica_that_raises(error: RetrievalError) -> Counter[str]:
    options = ChannelOptions(outlier_detection=False)
    failing = Failing(error, 10)
    good, bad = server_of(Sample(Gate())), server_of(failing)
    with good, bad, open_channel([good.address, bad.address], options) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        while not (ok_count(good) and failing.asked_count):
            outcome(stub)
        return Counter(outcome(stub) for _ in range(20))


def test_unavailable_is_tried_again_on_another_replica() -> None:
    assert outcomes_beside_a_replica_that_raises(Unavailable("gone")) == Counter(OK=20)


def test_nothing_else_is_tried_again() -> None:
    outcomes = outcomes_beside_a_replica_that_raises(Overloaded("full"))
    assert set(outcomes) == {"OK", "RESOURCE_EXHAUSTED"}
    assert abs(outcomes["OK"] - 10) <= 1


def test_a_replica_that_always_fails_is_left_out() -> None:
    good, bad = server_of(Sample(Gate())), server_of(Failing(FailedPrecondition("no"), 10))
    with good, bad, open_channel([good.address, bad.address]) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        end = time.monotonic() + 10
        in_a_row = 0
        while in_a_row < 50:
            assert time.monotonic() < end, "calls still go to the replica that fails"
            in_a_row = in_a_row + 1 if outcome(stub) == "OK" else 0


def test_replicas_that_refuse_alike_all_stay_in() -> None:
    refusing = [Failing(Overloaded("full"), 7) for _ in range(2)]
    one, two = (server_of(servicer) for servicer in refusing)
    with one, two, open_channel([one.address, two.address]) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        # Outlier detection looks once a second and would leave one of them out for a second.
        end = time.monotonic() + 3.5
        while time.monotonic() < end:
            outcome(stub)
    first, second = (servicer.asked_count for servicer in refusing)
    assert first + second > 100
    assert abs(first - second) < 0.1 * (first + second)


def test_connections_are_renewed_without_losing_a_call() -> None:
    noting = Noting()
    with (
        server_of(noting, max_connection_age_ms=150) as server,
        open_channel([server.address]) as channel,
    ):
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        end = time.monotonic() + 1.5
        outcomes: Counter[str] = Counter()
        while time.monotonic() < end:
            outcomes[outcome(stub)] += 1
    assert set(outcomes) == {"OK"}
    assert outcomes["OK"] > 100
    assert len(noting.peers) >= 3


def test_a_proxy_for_the_web_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with server_of(Sample(Gate())) as server, open_channel([server.address]) as channel:
        assert outcome(rerank_pb2_grpc.RerankServiceStub(channel)) == "OK"
