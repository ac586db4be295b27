"""Both clients against real servers whose answers are scripted."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from retrieval_client import AsyncRetrievalClient, Query, RetrievalClient, SearchResult
from retrieval_core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    InvalidInput,
    NotFound,
    Overloaded,
    RetrievalError,
    Unavailable,
)
from retrieval_core.timing import Stage
from servicekit.sync_server import SyncServer
from tests.support.scripted_gateway import ScriptedGateway, scripted_server

PATIENT_MS = 20_000.0


class BlockingAsyncClient:
    """The asyncio client behind the face of the synchronous one, so that one suite tests both."""

    def __init__(self, targets: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        try:
            self._client = self._runner.run(self._open(targets, options))
        except BaseException:
            self._runner.close()
            raise

    async def _open(self, targets: Any, options: dict[str, Any]) -> AsyncRetrievalClient:
        return AsyncRetrievalClient(targets, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._client, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        def run(*arguments: Any, **options: Any) -> Any:
            return self._runner.run(method(*arguments, **options))

        return run

    def __enter__(self) -> BlockingAsyncClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


Connect = Callable[..., Any]


@pytest.fixture(params=[RetrievalClient, BlockingAsyncClient], ids=["sync", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes a client of either flavour that is ready, and closes it."""
    with ExitStack() as exits:

        def connected(targets: Any, **options: Any) -> Any:
            client = exits.enter_context(
                request.param(targets, **{"timeout_ms": PATIENT_MS} | options)
            )
            client.wait_until_ready(PATIENT_MS / 1000)
            return client

        yield connected


@pytest.fixture
def start() -> Iterator[Callable[[ScriptedGateway], SyncServer]]:
    with ExitStack() as exits:

        def started(gateway: ScriptedGateway) -> SyncServer:
            server = exits.enter_context(scripted_server(gateway))
            # Before the server stops, so that it never waits for a call that is held.
            exits.callback(gateway.gate.set)
            return server

        yield started


Start = Callable[[ScriptedGateway], SyncServer]


def test_a_query_is_answered_with_a_typed_result(connect: Connect, start: Start) -> None:
    gateway = ScriptedGateway()
    result = connect(start(gateway).address).search("csv", limit=3, lanes=["docs"], explain=True)
    assert isinstance(result, SearchResult)
    assert result.hits[0].text == "only"
    assert result.client_elapsed_ns > 0
    request = gateway.requests[0]
    assert (request.text, request.limit, list(request.lanes)) == ("csv", 3, ["docs"])


def test_vectors_and_contexts_reach_the_gateway_whole(connect: Connect, start: Start) -> None:
    gateway = ScriptedGateway()
    client = connect(start(gateway).address)
    vector = np.arange(768, dtype=np.float32)
    client.search(vector=vector)
    client.search(context=["one", vector])
    assert np.array_equal(np.frombuffer(gateway.requests[0].vector.values, "<f4"), vector)
    assert [item.WhichOneof("item") for item in gateway.requests[1].context.items] == [
        "text",
        "vector",
    ]


def test_every_call_has_a_deadline_and_a_call_may_bring_its_own(
    connect: Connect, start: Start
) -> None:
    gateway = ScriptedGateway()
    client = connect(start(gateway).address, timeout_ms=5000)
    client.search("a")
    client.search("a", timeout_ms=12_000)
    # gRPC sends what is left with three digits, rounded up, and both ends round to milliseconds.
    assert 1 < gateway.left_s[0] <= 5.012
    assert 6 < gateway.left_s[1] <= 12.102


def test_a_deadline_that_passes_is_its_own_error(connect: Connect, start: Start) -> None:
    gateway = ScriptedGateway()
    gateway.gate.clear()
    client = connect(start(gateway).address)
    with pytest.raises(DeadlineExceeded):
        client.search("a", timeout_ms=100)


def test_unavailable_is_tried_again_within_the_call(connect: Connect, start: Start) -> None:
    gateway = ScriptedGateway(errors=[Unavailable("warming up")])
    result = connect(start(gateway).address).search("a")
    assert result.hits[0].passage_id == 1
    assert len(gateway.requests) == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Overloaded("full", reason="QUEUE_FULL"), Overloaded),
        (InvalidInput("limit", "too large", reason="LIMIT"), InvalidInput),
        (NotFound("no lane", reason="UNKNOWN_LANE"), NotFound),
        (FailedPrecondition("other encoder", reason="FINGERPRINT"), FailedPrecondition),
    ],
)
def test_other_errors_come_back_as_they_are_at_the_first_try(
    connect: Connect, start: Start, error: RetrievalError, kind: type[RetrievalError]
) -> None:
    gateway = ScriptedGateway(errors=[error])
    with pytest.raises(kind) as raised:
        connect(start(gateway).address).search("a")
    assert raised.value.reason == error.reason
    assert len(gateway.requests) == 1
    if isinstance(error, InvalidInput) and isinstance(raised.value, InvalidInput):
        assert raised.value.violations == error.violations


def test_a_defect_of_the_server_does_not_show_its_text(connect: Connect, start: Start) -> None:
    gateway = ScriptedGateway(errors=[InternalError("secret of ours")])
    with pytest.raises(InternalError) as raised:
        connect(start(gateway).address).search("a")
    assert "secret" not in str(raised.value)


def test_an_error_brings_the_timings_of_the_request(connect: Connect, start: Start) -> None:
    gateway = ScriptedGateway(errors=[Overloaded("full")])
    with pytest.raises(Overloaded) as raised:
        connect(start(gateway).address).search("a")
    timings = raised.value.timings
    assert timings is not None
    assert timings.total_ns == 2_000_000
    assert [(entry.stage, entry.elapsed_ns) for entry in timings.stages] == [
        (Stage.ENCODE, 1_500_000)
    ]


def test_unreadable_timings_do_not_hide_the_error(connect: Connect, start: Start) -> None:
    gateway = ScriptedGateway(errors=[Overloaded("full")], detail_bytes=b"\xff\xff")
    with pytest.raises(Overloaded) as raised:
        connect(start(gateway).address).search("a")
    assert raised.value.timings is None


def test_a_batch_has_a_result_or_an_error_for_each_query(connect: Connect, start: Start) -> None:
    client = connect(start(ScriptedGateway()).address)
    good, bad, also_good = client.batch_search([Query(text="a"), Query(text=""), Query(text="b")])
    assert isinstance(good, SearchResult)
    assert isinstance(also_good, SearchResult)
    assert isinstance(bad, InvalidInput)
    assert bad.violations[0].field == "text"


def test_topology_is_typed(connect: Connect, start: Start) -> None:
    topology = connect(start(ScriptedGateway()).address).topology()
    assert (topology.release_id, topology.targets[0].name) == ("demo", "encoder")


def test_calls_go_round_over_all_gateways(connect: Connect, start: Start) -> None:
    gateways = [ScriptedGateway(name) for name in ("first", "second")]
    client = connect([start(gateway).address for gateway in gateways])
    # Until both are connected the first to be so gets everything.
    answers: set[str] = set()
    while len(answers) < 2:
        answers.add(client.search("a").hits[0].text)
    counts = [len(gateway.requests) for gateway in gateways]
    for _ in range(20):
        client.search("a")
    more = [len(gateway.requests) - count for gateway, count in zip(gateways, counts, strict=True)]
    assert more == [10, 10]


def test_a_gateway_that_stops_serving_gets_no_more_calls(connect: Connect, start: Start) -> None:
    gateways = [ScriptedGateway(name) for name in ("stays", "leaves")]
    servers = [start(gateway) for gateway in gateways]
    client = connect([server.address for server in servers])
    client.search("a")
    servers[1].set_serving(False)
    # Health travels on its own; what counts is that calls stop going there, and none fails.
    streak = 0
    while streak < 10:
        answer = client.search("a").hits[0].text
        streak = streak + 1 if answer == "stays" else 0


def test_nobody_at_the_address_is_unavailable_within_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for flavour in (RetrievalClient, BlockingAsyncClient):
        with flavour(f"127.0.0.1:{port}") as client:
            with pytest.raises(Unavailable, match=f"127.0.0.1:{port}") as raised:
                client.wait_until_ready(0.3)
            assert raised.value.reason == "UNREACHABLE"


def test_the_profile_covers_the_calls_made(
    connect: Connect, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    client = connect(start(ScriptedGateway()).address)
    for _ in range(3):
        client.search("a")
    client.profile()
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["ENCODE"][:2] == ["3", "1.50"]
    assert lines["total"][:2] == ["3", "2.00"]
    assert lines["client"][0] == "3"


@pytest.mark.parametrize("flavour", [RetrievalClient, BlockingAsyncClient])
def test_a_client_without_a_sane_deadline_is_not_made(flavour: Connect) -> None:
    with pytest.raises(InvalidInput, match="timeout_ms"):
        flavour("127.0.0.1:1", timeout_ms=0)


def test_many_threads_share_one_client(start: Start) -> None:
    gateway = ScriptedGateway()
    with RetrievalClient(start(gateway).address, timeout_ms=PATIENT_MS) as client:
        threads = [
            threading.Thread(target=lambda: [client.search("a") for _ in range(20)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(gateway.requests) == 80
