"""The shard server over the wire: answers, and what it does with input that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import faiss
import grpc
import numpy as np
import pytest
from retrieval.v1.common_pb2 import Matrix
from retrieval.v1.shard_pb2 import (
    GetShardInfoRequest,
    ShardServiceSearchRequest,
    ShardServiceSearchResponse,
)
from retrieval.v1.shard_pb2_grpc import ShardServiceStub

from index_svc.metric_names import METRICS
from index_svc.servicer import SERVICE_NAME, shard_service
from index_svc.settings import IndexSettings
from index_svc.shard import Shard
from index_svc.truth import FlatTruth
from retrieval_core.errors import FailedPrecondition, InvalidInput, RetrievalError
from retrieval_core.projection import project, projection_matrix
from retrieval_core.vectors import Float32Matrix
from servicekit.matrices import float16_matrix_from_message, matrix_to_message
from servicekit.status import error_from_rpc
from servicekit.sync_server import SyncServer
from servicekit.telemetry import ServiceMetrics
from tests.support.tiny_release import (
    TINY_FINGERPRINT,
    TinyRelease,
    build_tiny_release,
    queries_near,
    tiny_corpus,
)

SEARCH_METHOD = f"/{SERVICE_NAME}/Search"
MAX_MESSAGE_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    return build_tiny_release(tmp_path_factory.mktemp("releases"), corpus=tiny_corpus(1200))


@pytest.fixture(scope="module")
def server(tiny: TinyRelease) -> Iterator[SyncServer]:
    # The threads of this process would otherwise each bring a pool of their own.
    faiss.omp_set_num_threads(1)
    settings = IndexSettings(
        port=0, release=str(tiny.folder), max_message_bytes=MAX_MESSAGE_BYTES, max_nprobe=100
    )
    metrics = ServiceMetrics("index", METRICS)
    shard = Shard.load(tiny.release, settings.shard, limits=settings.limits())
    shard.warm()
    service = shard_service(shard, metrics, "0.0.test")
    with SyncServer(settings, [service], metrics=metrics) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: SyncServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> ShardServiceStub:
    return ShardServiceStub(channel)


@pytest.fixture(scope="module")
def queries(tiny: TinyRelease) -> Float32Matrix:
    return queries_near(tiny.corpus.vectors, 20)


@pytest.fixture
def good(queries: Float32Matrix) -> ShardServiceSearchRequest:
    return ShardServiceSearchRequest(query=matrix_to_message(queries[:1]), k=5)


def ask(stub: ShardServiceStub, request: ShardServiceSearchRequest) -> ShardServiceSearchResponse:
    return stub.Search(request, timeout=10)


def refusal(call: Callable[[], object]) -> RetrievalError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return error_from_rpc(caught.value)


def test_exact_search_is_the_flat_truth(
    stub: ShardServiceStub, tiny: TinyRelease, queries: Float32Matrix
) -> None:
    truth = FlatTruth.of_vectors(tiny.corpus.vectors, tiny.corpus.passage_ids)
    for row, expected in enumerate(truth.search(queries, 50)):
        query = matrix_to_message(queries[row : row + 1])
        response = ask(stub, ShardServiceSearchRequest(query=query, k=50, exact=True))
        assert list(response.hits.passage_ids) == expected.passage_ids.tolist()
        assert list(response.hits.scores) == expected.scores.tolist()


def test_an_answer_holds_what_was_asked_for(
    stub: ShardServiceStub, tiny: TinyRelease, good: ShardServiceSearchRequest
) -> None:
    good.include_passages = True
    good.include_projections = True
    good.nprobe = 3
    good.fingerprint = TINY_FINGERPRINT
    response = ask(stub, good)
    rows = list(response.hits.passage_ids)
    expected = tiny.corpus.table.take(rows).to_pydict()
    assert list(response.passages.texts) == expected["text"]
    assert list(response.passages.article_ids) == expected["article_id"]
    assert list(response.passages.lanes) == expected["lane"]
    assert list(response.hits.positions) == expected["position"]
    np.testing.assert_array_equal(
        float16_matrix_from_message(response.projections, columns=64, field="projections"),
        project(tiny.corpus.vectors, projection_matrix())[rows],
    )
    assert response.nprobe == 3
    assert response.release_id == "tiny"
    assert list(response.unknown_lanes) == []


def test_the_account_of_the_time_adds_up(
    stub: ShardServiceStub, good: ShardServiceSearchRequest
) -> None:
    response = ask(stub, good)
    search_ns = response.search.ToNanoseconds()
    queued_ns = response.server.queued.ToNanoseconds()
    elapsed_ns = response.server.elapsed.ToNanoseconds()
    assert search_ns > 0
    assert queued_ns >= 0
    assert queued_ns + search_ns <= elapsed_ns < 10_000_000_000


def test_more_lists_than_there_are_scans_all_of_them(
    stub: ShardServiceStub, good: ShardServiceSearchRequest
) -> None:
    nlist = stub.GetShardInfo(GetShardInfoRequest(), timeout=10).nlist
    good.nprobe = 100
    assert ask(stub, good).nprobe == nlist
    good.nprobe, good.exact = 1, True
    assert ask(stub, good).nprobe == nlist


def test_lanes_and_exclusions_hold(
    stub: ShardServiceStub, tiny: TinyRelease, good: ShardServiceSearchRequest
) -> None:
    best = ask(stub, good).hits.passage_ids[0]
    good.lanes.append("news")
    good.excluded_passage_ids.append(best)
    good.k = 1000
    good.exact = True
    found = list(ask(stub, good).hits.passage_ids)
    news = {row for row, lane in enumerate(tiny.corpus.lanes) if lane == "news"}
    assert set(found) == news - {best}
    assert len(found) == len(set(found))


def test_unknown_lanes_are_reported_not_refused(
    stub: ShardServiceStub, good: ShardServiceSearchRequest
) -> None:
    good.lanes.extend(["nowhere", "news"])
    response = ask(stub, good)
    assert list(response.unknown_lanes) == ["nowhere"]
    assert len(response.hits.passage_ids) == 5
    del good.lanes[:]
    good.lanes.append("nowhere")
    response = ask(stub, good)
    assert list(response.unknown_lanes) == ["nowhere"]
    assert len(response.hits.passage_ids) == 0


def test_the_shard_says_what_it_holds(stub: ShardServiceStub, tiny: TinyRelease) -> None:
    info = stub.GetShardInfo(GetShardInfoRequest(), timeout=10)
    assert (info.release_id, info.shard, info.shard_count) == ("tiny", 0, 1)
    assert (info.passage_count, info.dimensions) == (1200, 768)
    assert (info.nlist, info.nprobe) == (tiny.release.manifest.nlist, 8)
    assert list(info.lanes) == ["guide", "news"]
    assert info.fingerprint == TINY_FINGERPRINT
    assert info.projection_dimensions == 64
    assert info.imbalance_ratio >= 1.0
    assert info.version == "0.0.test"


def set_query(values: Float32Matrix) -> Callable[[ShardServiceSearchRequest], None]:
    return lambda request: request.query.CopyFrom(matrix_to_message(values))


def set_field(name: str, value: int) -> Callable[[ShardServiceSearchRequest], None]:
    return lambda request: setattr(request, name, value)


def filled(value: float, columns: int = 768, rows: int = 1) -> Float32Matrix:
    return np.full((rows, columns), value, np.float32)


def cut_short(request: ShardServiceSearchRequest) -> None:
    request.query.values = request.query.values[:-1]


BAD_INPUT: list[tuple[str, str, Callable[[ShardServiceSearchRequest], object]]] = [
    ("query.element_type", "WRONG_ELEMENT_TYPE", lambda request: request.ClearField("query")),
    ("query.values", "WRONG_BYTE_LENGTH", cut_short),
    ("query", "WRONG_DIMENSION", set_query(filled(0.1, columns=767))),
    ("query", "WRONG_DIMENSION", set_query(filled(0.1, columns=1))),
    ("query", "TOO_MANY_ROWS", set_query(filled(0.1, rows=2))),
    ("query", "EMPTY_VECTOR", set_query(filled(0.1, rows=0))),
    ("query", "NOT_FINITE", set_query(filled(np.nan))),
    ("query", "NOT_FINITE", set_query(filled(np.inf))),
    ("query", "NOT_FINITE", set_query(filled(-np.inf))),
    ("query", "NOT_UNIT_NORM", set_query(filled(0.0))),
    ("query", "NOT_UNIT_NORM", set_query(filled(3e38))),
    ("k", "OUT_OF_RANGE", set_field("k", 0)),
    ("k", "OUT_OF_RANGE", set_field("k", 1001)),
    ("k", "OUT_OF_RANGE", set_field("k", 10**9)),
    ("nprobe", "OUT_OF_RANGE", set_field("nprobe", 101)),
    ("nprobe", "OUT_OF_RANGE", set_field("nprobe", 2**32 - 1)),
    ("lanes", "TOO_MANY", lambda request: request.lanes.extend(["x"] * 1001)),
    (
        "excluded_passage_ids",
        "TOO_MANY",
        lambda request: request.excluded_passage_ids.extend(range(10_001)),
    ),
]


@pytest.mark.parametrize(("field", "reason", "spoil"), BAD_INPUT)
def test_bad_input_names_its_field_and_leaves_the_server_fit(
    stub: ShardServiceStub,
    good: ShardServiceSearchRequest,
    field: str,
    reason: str,
    spoil: Callable[[ShardServiceSearchRequest], object],
) -> None:
    before = ask(stub, good)
    bad = ShardServiceSearchRequest.FromString(good.SerializeToString())
    spoil(bad)
    error = refusal(lambda: ask(stub, bad))
    assert isinstance(error, InvalidInput)
    assert (error.violations[0].field, error.reason) == (field, reason)
    assert ask(stub, good).hits == before.hits


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff",
        # A lane that is not UTF-8: field 5, two bytes.
        b"\x2a\x02\xff\xfe",
    ],
)
def test_unparsable_bytes_are_bad_input(
    channel: grpc.Channel, stub: ShardServiceStub, good: ShardServiceSearchRequest, garbage: bytes
) -> None:
    raw: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SEARCH_METHOD)
    error = refusal(lambda: raw(garbage, timeout=10))
    assert isinstance(error, InvalidInput)
    assert len(error.violations) == 1
    assert len(ask(stub, good).hits.passage_ids) == 5


def test_an_oversized_message_is_refused(
    stub: ShardServiceStub, good: ShardServiceSearchRequest
) -> None:
    huge = ShardServiceSearchRequest.FromString(good.SerializeToString())
    huge.lanes.append("x" * MAX_MESSAGE_BYTES)
    with pytest.raises(grpc.RpcError) as caught:
        ask(stub, huge)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(ask(stub, good).hits.passage_ids) == 5


def test_vectors_of_another_encoder_are_refused(
    stub: ShardServiceStub, good: ShardServiceSearchRequest
) -> None:
    good.fingerprint = "sha256:" + "0" * 64
    error = refusal(lambda: ask(stub, good))
    assert isinstance(error, FailedPrecondition)
    assert error.reason == "FINGERPRINT_MISMATCH"


def test_float16_queries_are_read_too(
    stub: ShardServiceStub, good: ShardServiceSearchRequest
) -> None:
    # 1.0 has an exact half: the norm stays 1.
    good.query.CopyFrom(matrix_to_message(np.eye(1, 768, dtype=np.float16)))
    assert good.query.element_type == Matrix.ELEMENT_TYPE_FLOAT16
    assert len(ask(stub, good).hits.passage_ids) == 5


def test_searches_are_counted(
    server: SyncServer, stub: ShardServiceStub, good: ShardServiceSearchRequest
) -> None:
    def read() -> list[float]:
        names = ("index_hits_total", "index_lists_scanned_total", "index_search_seconds_count")
        counts = [server.metrics.value(name) or 0.0 for name in names]
        return [*counts, server.metrics.value("index_searches_total", mode="exact") or 0.0]

    before = read()
    good.nprobe = 3
    ask(stub, good)
    assert [now - then for now, then in zip(read(), before, strict=True)] == [5, 3, 1, 0]
    good.exact = True
    ask(stub, good)
    assert read()[3] - before[3] == 1
    assert server.metrics.value("index_passages") == 1200
    assert (server.metrics.value("index_imbalance_ratio") or 0) >= 1
