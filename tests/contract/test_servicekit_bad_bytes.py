"""Hostile bytes: each gets its own code, and the server is fit afterwards. Both flavours."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from retrieval.v1 import rerank_pb2, rerank_pb2_grpc

from retrieval_core.errors import InvalidInput
from servicekit.settings import ServiceSettings
from servicekit.status import error_from_rpc
from tests.unit.servicekit.samples import NAME, RERANK, Served, served

LIMIT = 64 * 1024


@pytest.fixture(params=["sync", "aio"])
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    with served(request.param, ServiceSettings(max_message_bytes=LIMIT)) as running:
        yield running


@pytest.fixture
def channel(server: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _fit_afterwards(channel: grpc.Channel) -> Iterator[None]:
    yield
    stub = rerank_pb2_grpc.RerankServiceStub(channel)
    assert stub.GetRerankerInfo(rerank_pb2.GetRerankerInfoRequest(), timeout=5).name == "sample"


def raw_call(channel: grpc.Channel, path: str) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(path, bytes, bytes)


def raw_stream(channel: grpc.Channel, path: str) -> grpc.StreamStreamMultiCallable[bytes, bytes]:
    return channel.stream_stream(path, bytes, bytes)


def send(channel: grpc.Channel, data: bytes, path: str = RERANK) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as raised:
        raw_call(channel, path)(data, timeout=5)
    return raised.value


NOT_UTF_8 = b"\x42\x02\xff\xfe"  # field 8 of RerankRequest, a string


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"\xff" * 1000, b"\x2a\xff\xff\xff\xff\x0f", NOT_UTF_8, b"\x12\x01\x80"],
    ids=["one", "many", "length-past-the-end", "not-utf-8", "cut-varint"],
)
def test_bytes_that_are_no_message(server: Served, channel: grpc.Channel, data: bytes) -> None:
    error = error_from_rpc(send(channel, data))
    assert isinstance(error, InvalidInput)
    assert error.reason == "UNPARSABLE"
    assert error.violations[0].field == "request"
    assert "Decode" not in error.message
    method = f"{NAME}/Rerank"
    calls = server.metrics.value("rpc_server_calls_total", method=method, code="INVALID_ARGUMENT")
    assert calls == 1


def test_random_bytes_never_end_in_unknown_or_internal(channel: grpc.Channel) -> None:
    rng = random.Random(7)
    answers: set[str] = set()
    for _ in range(300):
        data = rng.randbytes(rng.randrange(1, 60))
        try:
            raw_call(channel, RERANK)(data, timeout=5)
            answers.add("OK")
        except grpc.RpcError as error:
            answers.add(error.code().name)
    assert "INVALID_ARGUMENT" in answers
    assert answers <= {"OK", "INVALID_ARGUMENT"}


def test_an_oversized_message_is_told_from_overload(channel: grpc.Channel) -> None:
    error = send(channel, b"\x42" + b"x" * (LIMIT + 1))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_from_rpc(error).reason == "MESSAGE_TOO_LARGE"


def test_an_unknown_method(channel: grpc.Channel) -> None:
    assert send(channel, b"", f"/{NAME}/Nothing").code() is grpc.StatusCode.UNIMPLEMENTED
    assert send(channel, b"", "/no.Service/Rerank").code() is grpc.StatusCode.UNIMPLEMENTED


STREAMS = [
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]


def check_leaks_nothing(error: grpc.RpcError) -> None:
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_from_rpc(error).reason == "UNPARSABLE"
    assert error.details() == "request: not a valid message"


def test_bad_bytes_for_health_leak_nothing(channel: grpc.Channel) -> None:
    check_leaks_nothing(send(channel, b"\xff\xff", "/grpc.health.v1.Health/Check"))


@pytest.mark.parametrize("path", STREAMS)
def test_bad_bytes_for_streams_leak_nothing(channel: grpc.Channel, path: str) -> None:
    # More often than a synchronous server has threads to lose.
    for _ in range(100):
        with pytest.raises(grpc.RpcError) as raised:
            list(raw_stream(channel, path)(iter([b"\xff\xff"]), timeout=5))
        check_leaks_nothing(raised.value)


def test_health_of_an_unknown_service(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as raised:
        stub.Check(health_pb2.HealthCheckRequest(service="no.Service"), timeout=5)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b"\x16\x03\x01"])
def test_a_peer_that_speaks_something_else(server: Served, data: bytes) -> None:
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(4096):
            pass


def test_an_abandoned_connection_holds_nothing_up(server: Served, channel: grpc.Channel) -> None:
    host, _, port = server.address.rpartition(":")
    silent = [socket.create_connection((host, int(port)), timeout=5) for _ in range(20)]
    stub = rerank_pb2_grpc.RerankServiceStub(channel)
    assert stub.Rerank(rerank_pb2.RerankRequest(), timeout=5).model
    for peer in silent:
        peer.close()
