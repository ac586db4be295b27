"""Calls on real servers of both flavours: errors, deadlines, admission, traces, metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from retrieval.v1 import rerank_pb2, rerank_pb2_grpc

from retrieval_core.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    Overloaded,
    RetrievalError,
    Unavailable,
)
from servicekit.settings import ServiceSettings
from servicekit.status import error_from_rpc, trailing_bytes
from tests.unit.servicekit.samples import INNER_TEXT, NAME, Served, served

METHOD = f"{NAME}/Rerank"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

SETTINGS = ServiceSettings(in_flight_limit=3, slot_count=1, default_deadline_ms=20_000)

# A deadline travels as `grpc-timeout`, three digits and rounded up: of a call with 1 to 10 s to go
# by up to 10 ms. Both ends round to milliseconds besides.
ROUNDED_UP_S = 0.012


@pytest.fixture(params=["sync", "aio"])
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    with served(request.param, SETTINGS) as running:
        yield running


@pytest.fixture
def channel(server: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.Channel) -> rerank_pb2_grpc.RerankServiceStub:
    return rerank_pb2_grpc.RerankServiceStub(channel)


def request(behavior: str = "") -> rerank_pb2.RerankRequest:
    return rerank_pb2.RerankRequest(fingerprint=behavior)


def failure(stub: rerank_pb2_grpc.RerankServiceStub, behavior: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as raised:
        stub.Rerank(request(behavior), timeout=10)
    return raised.value


def until(condition: object, what: str) -> None:
    """Wait for something that only a later look can tell, at most 10 s."""
    assert callable(condition)
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("behavior", "leaf", "reason"),
    [
        ("invalid", InvalidInput, "BAD_FINGERPRINT"),
        ("overloaded", Overloaded, "NO_ROOM"),
        ("unavailable", Unavailable, "UNAVAILABLE"),
    ],
)
def test_what_a_servicer_raises_arrives(
    stub: rerank_pb2_grpc.RerankServiceStub,
    behavior: str,
    leaf: type[RetrievalError],
    reason: str,
) -> None:
    received = failure(stub, behavior)
    error = error_from_rpc(received)
    assert type(error) is leaf
    assert error.reason == reason
    assert trailing_bytes(received, "timings-bin") == b"\x00\x01"


@pytest.mark.parametrize("behavior", ["internal", "defect", "base"])
def test_a_defect_leaves_only_an_id_that_the_log_has(
    stub: rerank_pb2_grpc.RerankServiceStub, behavior: str, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = (("traceparent", f"00-{TRACE}-{SPAN}-00"),)
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.RpcError) as raised:
        stub.Rerank(request(behavior), timeout=10, metadata=metadata)
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert TRACE in (raised.value.details() or "")
    wire = repr((raised.value.details(), tuple(raised.value.trailing_metadata())))
    assert INNER_TEXT not in wire
    assert type(error_from_rpc(raised.value)) is InternalError
    assert INNER_TEXT in caplog.text


def test_a_call_without_deadline_gets_the_default(stub: rerank_pb2_grpc.RerankServiceStub) -> None:
    time_left_s = stub.Rerank(request()).scores[0]
    assert 19 < time_left_s <= 20


def test_the_callers_deadline_is_seen(stub: rerank_pb2_grpc.RerankServiceStub) -> None:
    time_left_s = stub.Rerank(request(), timeout=5).scores[0]
    assert 4 < time_left_s <= 5 + ROUNDED_UP_S


def test_the_trace_of_the_caller_is_kept(stub: rerank_pb2_grpc.RerankServiceStub) -> None:
    metadata = (("traceparent", f"00-{TRACE}-{SPAN}-01"),)
    answer = stub.Rerank(request(), timeout=5, metadata=metadata)
    assert answer.model == TRACE
    assert answer.feature_names[0].startswith(f"00-{TRACE}-")
    assert answer.feature_names[0].endswith("-01")


def test_calls_are_counted_by_method_and_code(
    server: Served, stub: rerank_pb2_grpc.RerankServiceStub
) -> None:
    stub.Rerank(request(), timeout=5)
    failure(stub, "invalid")
    values = server.metrics.value
    until(lambda: values("rpc_server_duration_seconds_count", method=METHOD) == 2, "durations")
    assert values("rpc_server_calls_total", method=METHOD, code="OK") == 1
    assert values("rpc_server_calls_total", method=METHOD, code="INVALID_ARGUMENT") == 1
    assert values("rpc_server_in_flight") == 0
    assert values("service_serving") == 1


def test_the_limit_refuses_at_once_and_health_still_answers(
    server: Served, stub: rerank_pb2_grpc.RerankServiceStub, channel: grpc.Channel
) -> None:
    held = [stub.Rerank.future(request("hold"), timeout=20) for _ in range(3)]
    server.gate.wait_entered()
    values = server.metrics.value
    until(lambda: values("rpc_server_in_flight") == 3, "three in flight")
    until(lambda: values("rpc_server_waiting") == 2, "two of them waiting")
    began = time.monotonic()
    error = error_from_rpc(failure(stub, ""))
    assert isinstance(error, Overloaded)
    assert error.reason == "OVERLOADED"
    assert time.monotonic() - began < 5
    assert values("rpc_server_dropped_total", reason="OVERLOADED") == 1
    check = health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=NAME), timeout=5
    )
    assert check.status == health_pb2.HealthCheckResponse.SERVING
    assert NAME in reflected_services(channel)
    server.gate.opened.set()
    answers = [call.result() for call in held]
    waited_s = sorted(answer.scores[1] for answer in answers)
    assert waited_s[0] == 0
    assert waited_s[1] > 0
    assert server.gate.entered_count == 3
    assert values("rpc_server_queue_seconds_count") == 2


def reflected_services(channel: grpc.Channel) -> set[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (answer,) = stub.ServerReflectionInfo(asked, timeout=5)
    return {service.name for service in answer.list_services_response.service}


def test_who_leaves_while_waiting_is_never_run(
    server: Served, stub: rerank_pb2_grpc.RerankServiceStub
) -> None:
    first = stub.Rerank.future(request("hold"), timeout=20)
    server.gate.wait_entered()
    second = stub.Rerank.future(request("hold"), timeout=20)
    values = server.metrics.value
    until(lambda: values("rpc_server_waiting") == 1, "the second waits")
    second.cancel()
    until(lambda: values("rpc_server_waiting") == 0, "the second is gone")
    until(lambda: values("rpc_server_in_flight") == 1, "its place is free")
    assert values("rpc_server_dropped_total", reason="CANCELLED") == 1
    server.gate.opened.set()
    first.result()
    assert server.gate.entered_count == 1


def test_whose_deadline_passes_while_waiting_is_never_run(
    server: Served, stub: rerank_pb2_grpc.RerankServiceStub
) -> None:
    first = stub.Rerank.future(request("hold"), timeout=20)
    server.gate.wait_entered()
    with pytest.raises(grpc.RpcError) as raised:
        stub.Rerank(request("hold"), timeout=0.1)
    assert isinstance(error_from_rpc(raised.value), DeadlineExceeded)
    values = server.metrics.value
    until(lambda: values("rpc_server_in_flight") == 1, "its place is free")
    server.gate.opened.set()
    first.result()
    assert server.gate.entered_count == 1


def test_sync_enforces_the_default_deadline() -> None:
    settings = ServiceSettings(slot_count=1, default_deadline_ms=100)
    with served("sync", settings) as server, grpc.insecure_channel(server.address) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        first = stub.Rerank.future(request("hold"))
        server.gate.wait_entered()
        with pytest.raises(grpc.RpcError) as raised:
            stub.Rerank(request())
        assert isinstance(error_from_rpc(raised.value), DeadlineExceeded)
        server.gate.opened.set()
        # A running handler cannot be interrupted, but a late answer is no answer.
        with pytest.raises(grpc.RpcError) as late:
            first.result()
        assert isinstance(error_from_rpc(late.value), DeadlineExceeded)


def test_aio_cancels_the_work_at_the_default_deadline() -> None:
    settings = ServiceSettings(slot_count=1, default_deadline_ms=100)
    with served("aio", settings) as server, grpc.insecure_channel(server.address) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.Rerank(request("hold"))
        assert isinstance(error_from_rpc(raised.value), DeadlineExceeded)
        # Its slot is free again, although what it waited for never came.
        assert stub.Rerank(request(), timeout=10).model


def test_aio_cancels_the_work_at_the_callers_deadline() -> None:
    settings = ServiceSettings(default_deadline_ms=20_000)
    with served("aio", settings) as server, grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError):
            rerank_pb2_grpc.RerankServiceStub(channel).Rerank(request("hold"), timeout=0.2)
        values = server.metrics.value
        until(lambda: values("rpc_server_in_flight") == 0, "the handler was cancelled")
        code = values("rpc_server_calls_total", method=METHOD, code="DEADLINE_EXCEEDED")
        assert code == 1


def test_aio_cancels_the_work_of_a_caller_that_left() -> None:
    settings = ServiceSettings(default_deadline_ms=20_000)
    with served("aio", settings) as server, grpc.insecure_channel(server.address) as channel:
        call = rerank_pb2_grpc.RerankServiceStub(channel).Rerank.future(request("hold"))
        server.gate.wait_entered()
        call.cancel()
        values = server.metrics.value
        until(lambda: values("rpc_server_in_flight") == 0, "the handler was cancelled")
        code = values("rpc_server_calls_total", method=METHOD, code="CANCELLED")
        assert code == 1


@pytest.mark.parametrize("flavour", ["sync", "aio"])
def test_health_watchers_take_no_threads(flavour: str) -> None:
    settings = ServiceSettings(in_flight_limit=1)
    with served(flavour, settings) as server, grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(60)]
        for watch in watches:
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        assert rerank_pb2_grpc.RerankServiceStub(channel).Rerank(request(), timeout=10).model
        for watch in watches:
            watch.cancel()


def test_reflection_describes_the_messages(channel: grpc.Channel) -> None:
    assert reflected_services(channel) >= {
        NAME,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize("service", ["", NAME])
def test_health_is_per_service_and_for_all(channel: grpc.Channel, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
