"""Start and drain of real server processes, both flavours."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from retrieval.v1 import rerank_pb2, rerank_pb2_grpc

from servicekit.channels import ChannelOptions, open_channel
from tests.integration.servicekit_processes import NAME, Launch, Launched, launcher

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    with launcher(tmp_path) as start:
        yield start


def request(takes_ms: float = 0) -> rerank_pb2.RerankRequest:
    return rerank_pb2.RerankRequest(fingerprint=str(takes_ms))


def log_lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


both = pytest.mark.parametrize("flavour", ["sync", "aio"])


@both
def test_sigterm_ends_with_0_after_closing_backwards(launch: Launch, flavour: str) -> None:
    server = launch(flavour, lame_duck_ms=50)
    server.address()
    server.terminate()
    code, out, err = server.outcome()
    assert code == 0
    assert out == "loading\nclosed second\nclosed first\n"
    messages = [line["message"] for line in log_lines(err)]
    assert messages[-2:] == ["draining", "stopped"]


@both
def test_health_says_not_serving_first_and_calls_go_on(launch: Launch, flavour: str) -> None:
    server = launch(flavour, lame_duck_ms=2500, drain_grace_ms=30_000)
    with grpc.insecure_channel(server.address()) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        statuses = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=NAME)
        )
        assert next(statuses).status == health_pb2.HealthCheckResponse.SERVING
        began = time.monotonic()
        in_flight = stub.Rerank.future(request(takes_ms=3500), timeout=20)
        stub.Rerank(request(), timeout=5)
        server.terminate()
        assert next(statuses).status == health_pb2.HealthCheckResponse.NOT_SERVING
        # Still in the lame duck: after it, a new call would be refused.
        assert stub.Rerank(request(), timeout=5).model == str(server.process.pid)
        # The watcher above stays for as long as it likes; the drain does not wait for it.
        assert in_flight.result().model == str(server.process.pid)
        assert server.outcome()[0] == 0
        assert time.monotonic() - began < 15


@both
def test_what_outlasts_the_grace_is_cut_off(launch: Launch, flavour: str) -> None:
    server = launch(flavour, lame_duck_ms=0, drain_grace_ms=200)
    with grpc.insecure_channel(server.address()) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        call = stub.Rerank.future(request(takes_ms=10_000), timeout=20)
        stub.Rerank(request(), timeout=5)
        began = time.monotonic()
        server.terminate()
        with pytest.raises(grpc.RpcError) as raised:
            call.result()
        assert raised.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert time.monotonic() - began < 6


@both
def test_a_second_signal_cuts_the_drain_short(launch: Launch, flavour: str) -> None:
    server = launch(flavour, lame_duck_ms=60_000)
    with grpc.insecure_channel(server.address()) as channel:
        statuses = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(statuses).status == health_pb2.HealthCheckResponse.SERVING
        server.terminate()
        assert next(statuses).status == health_pb2.HealthCheckResponse.NOT_SERVING
        server.terminate(signal.SIGINT)
        assert server.outcome()[0] == 0


@both
def test_a_signal_while_loading_stops_at_once(launch: Launch, flavour: str) -> None:
    server = launch(flavour, load_ms=60_000)
    server.wait_loading()
    server.terminate()
    code, _, err = server.outcome()
    assert code == 0
    assert log_lines(err)[-1]["message"] == "stopped while loading"


@both
def test_a_taken_port_is_named_and_exits_3(launch: Launch, flavour: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        code, out, err = launch(flavour, port=port).outcome()
    assert code == 3
    assert f"127.0.0.1:{port}" in str(log_lines(err)[-1]["message"])
    assert out == "loading\nclosed second\nclosed first\n"


@both
def test_two_servers_never_share_a_port(launch: Launch, flavour: str) -> None:
    port = launch(flavour).address().rpartition(":")[2]
    assert launch(flavour, port=port).outcome()[0] == 3


@both
def test_a_taken_metrics_port_is_named_and_exits_3(launch: Launch, flavour: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        code, _, err = launch(flavour, metrics_port=port).outcome()
    assert code == 3
    assert f"127.0.0.1:{port} for metrics" in str(log_lines(err)[-1]["message"])


@both
@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        ("damaged", 1, "model.onnx differs"),
        ("missing", 2, "no release named x"),
        ("unreachable", 3, "does not answer"),
        ("defect", 1, "a defect"),
    ],
)
def test_what_fails_at_start_has_its_exit_code(
    launch: Launch, flavour: str, failure: str, code: int, text: str
) -> None:
    returned, _, err = launch(flavour, fail=failure).outcome()
    assert returned == code
    line = log_lines(err)[-1]
    assert text in str(line["message"])
    assert ("exc_info" in line) == (failure == "defect")


def test_wrong_settings_exit_2_with_every_problem(launch: Launch) -> None:
    code, _, err = launch("sync", port=-1, lame_dack_ms=3).outcome()
    assert code == 2
    assert "SAMPLE_PORT: " in err
    assert "SAMPLE_LAME_DACK_MS: no such setting; did you mean SAMPLE_LAME_DUCK_MS?" in err


def test_an_unreadable_certificate_exits_2(launch: Launch, tmp_path: Path) -> None:
    missing = tmp_path / "no.pem"
    code, _, err = launch("sync", tls_cert_file=missing, tls_key_file=missing).outcome()
    assert code == 2
    assert "no.pem" in err


def test_metrics_are_scraped_over_http(launch: Launch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = launch("sync", metrics_port=port)
    with grpc.insecure_channel(server.address()) as channel:
        rerank_pb2_grpc.RerankServiceStub(channel).Rerank(request(), timeout=5)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    assert (
        'rpc_server_calls_total{code="OK",method="retrieval.v1.RerankService/Rerank"} 1.0' in text
    )
    assert 'service_version_info{service="sample"' in text


class Load:
    """Callers that never pause, and what became of their calls."""

    def __init__(self, channel: grpc.Channel, caller_count: int) -> None:
        self.codes: Counter[str] = Counter()
        self.servers: Counter[str] = Counter()
        self._stub = rerank_pb2_grpc.RerankServiceStub(channel)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._pool = futures.ThreadPoolExecutor(caller_count)
        self._callers = [self._pool.submit(self._call_on) for _ in range(caller_count)]

    def _call_on(self) -> None:
        while not self._stopping.is_set():
            try:
                server, code = self._stub.Rerank(request(takes_ms=5), timeout=10).model, "OK"
            except grpc.RpcError as error:
                server, code = "none", f"{error.code().name}: {error.details()}"
            with self._lock:
                self.codes[code] += 1
                self.servers[server] += 1

    def counts(self) -> Counter[str]:
        with self._lock:
            return self.servers.copy()

    def wait_until(self, condition: Callable[[Counter[str]], bool], within_s: float) -> None:
        end = time.monotonic() + within_s
        while not condition(self.counts()):
            assert time.monotonic() < end, (self.servers, self.codes)
            time.sleep(0.01)

    def stop(self) -> None:
        self._stopping.set()
        for caller in self._callers:
            caller.result(20)
        self._pool.shutdown()


def answers_from(server: Launched) -> Callable[[Counter[str]], bool]:
    pid = str(server.process.pid)
    return lambda seen: seen[pid] >= 10


@both
def test_a_rolling_restart_loses_no_call(launch: Launch, flavour: str) -> None:
    servers = [launch(flavour), launch(flavour)]
    ports = [server.address().rpartition(":")[2] for server in servers]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    with open_channel(addresses, ChannelOptions(health_service=NAME)) as channel:
        load = Load(channel, 4)
        load.wait_until(lambda seen: len(seen) == 2, 20)
        for index, server in enumerate(servers):
            server.terminate()
            assert server.outcome()[0] == 0
            again = launch(flavour, port=ports[index])
            again.address()
            load.wait_until(answers_from(again), 5)
        load.stop()
    assert set(load.codes) == {"OK"}, load.codes
    assert load.codes["OK"] > 200


def test_a_killed_replica_is_left_out_and_its_return_is_noticed(launch: Launch) -> None:
    stays, dies = launch("sync"), launch("sync")
    ports = [server.address().rpartition(":")[2] for server in (stays, dies)]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    with open_channel(addresses, ChannelOptions(health_service=NAME)) as channel:
        load = Load(channel, 2)
        load.wait_until(lambda seen: len(seen) == 2, 20)
        dies.process.kill()
        dies.process.wait()
        killed = load.counts()
        load.wait_until(lambda seen: seen[str(stays.process.pid)] > 300, 30)
        gone = launch("sync", port=ports[1])
        gone.address()
        began = time.monotonic()
        load.wait_until(lambda seen: seen[str(gone.process.pid)] > 0, 5)
        noticed_s = time.monotonic() - began
        load.stop()
    assert noticed_s < 5
    # Only calls that were on the wire at the kill may be lost; none is sent there afterwards.
    assert sum(load.codes.values()) - load.codes["OK"] <= 4, (load.codes, killed)


def test_a_frozen_replica_loses_its_share_within_seconds(launch: Launch) -> None:
    healthy, frozen = launch("sync"), launch("sync")
    addresses = [server.address() for server in (healthy, frozen)]
    with open_channel(addresses, ChannelOptions(health_service=NAME)) as channel:
        stub = rerank_pb2_grpc.RerankServiceStub(channel)
        both_pids = {str(server.process.pid) for server in (healthy, frozen)}
        seen: set[str] = set()
        while seen != both_pids:
            seen.add(stub.Rerank(request(), timeout=5).model)
        frozen.terminate(signal.SIGSTOP)
        end = time.monotonic() + 8
        answered_in_a_row = 0
        while answered_in_a_row < 100:
            assert time.monotonic() < end, "calls still go to the frozen replica"
            try:
                stub.Rerank(request(), timeout=0.2)
                answered_in_a_row += 1
            except grpc.RpcError:
                answered_in_a_row = 0
        frozen.terminate(signal.SIGCONT)
