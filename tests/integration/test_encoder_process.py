"""The encoder as a process: answers, refusals, damage at start, and a drain that loses nothing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from retrieval.v1.encoder_pb2 import (
    Context,
    ContextItem,
    EncodeQueryRequest,
    EncodeQueryResponse,
    EncodeRequest,
    GetEncoderInfoRequest,
    QueryModelFallback,
)
from retrieval.v1.encoder_pb2_grpc import EncoderServiceStub

from encoder_svc.encoder import Encoder
from encoder_svc.query_models import RULES
from retrieval_core.errors import DeadlineExceeded, InvalidInput, RetrievalError
from retrieval_core.vectors import normalize_rows
from servicekit.channels import ChannelOptions, open_channel
from servicekit.durations import duration_to_ns
from servicekit.matrices import matrix_from_message, matrix_to_message
from servicekit.status import error_from_rpc
from tests.support.query_model_files import write_query_model
from tests.support.server_process import ServerProcess, server_process
from tests.support.tiny_encoder import write_tiny_folder

SERVICE_NAME = "retrieval.v1.EncoderService"
CALLERS = 4
TEXT = "read a csv file into dictionaries"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_folder(tmp_path_factory.mktemp("m") / "model")


@pytest.fixture(scope="module")
def reference(model: Path) -> Encoder:
    return Encoder.load(model)


def settings(model: Path, **changes: str) -> dict[str, str]:
    # The model's own folder has no query models.
    folder = {"ENCODER_QUERY_MODELS_FOLDER": str(model)}
    return {"ENCODER_PORT": "0", "ENCODER_MODEL": str(model), **folder, **changes}


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[ServerProcess]:
    environ = settings(model, ENCODER_MAX_MESSAGE_BYTES="65536", ENCODER_MAX_TEXT_BYTES="2000")
    with server_process("encoder_svc", environ) as running:
        running.wait_serving()
        yield running


@pytest.fixture(scope="module")
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.wait_serving()) as opened:
        yield opened


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> EncoderServiceStub:
    return EncoderServiceStub(channel)


def refused(call: Callable[[], object]) -> RetrievalError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return error_from_rpc(caught.value)


def test_texts_are_encoded_in_order_and_cuts_are_told(
    stub: EncoderServiceStub, reference: Encoder
) -> None:
    texts = [TEXT, "house " * 100, "the door"]
    answer = stub.Encode(EncodeRequest(texts=texts), timeout=30)
    vectors = matrix_from_message(answer.vectors, columns=768, field="vectors")
    expected = reference.encode(texts)
    assert (vectors * expected.vectors).sum(axis=1).min() >= 0.99999
    assert tuple(answer.token_counts) == expected.token_counts
    assert list(answer.truncated_indexes) == [1]
    assert answer.fingerprint == reference.manifest.fingerprint


def test_a_query_tells_where_its_time_went(stub: EncoderServiceStub) -> None:
    answer = stub.EncodeQuery(EncodeQueryRequest(text="open the door of the house"), timeout=30)
    timing = answer.timing
    run_ns, elapsed_ns = duration_to_ns(timing.run), duration_to_ns(timing.server.elapsed)
    assert 0 < run_ns <= elapsed_ns
    assert 0 < duration_to_ns(timing.tokenize) <= elapsed_ns
    assert timing.batch_size == 1
    again = stub.EncodeQuery(EncodeQueryRequest(text="open the door of the house"), timeout=30)
    assert again.timing.cached_count == 1
    assert again.vector.values == answer.vector.values


def test_a_context_of_text_and_vector(stub: EncoderServiceStub, reference: Encoder) -> None:
    known = reference.encode(["the door", TEXT]).vectors
    items = [ContextItem(text="the door"), ContextItem(vector=matrix_to_message(known[1:]))]
    answer = stub.EncodeQuery(EncodeQueryRequest(context=Context(items=items)), timeout=30)
    vector = matrix_from_message(answer.vector, columns=768, field="vector")
    np.testing.assert_allclose(vector, RULES["recency"].predict(known), atol=1e-4)
    assert answer.context_vectors.rows == 2
    assert answer.query_model == "recency"


def test_the_server_says_what_it_serves(stub: EncoderServiceStub, reference: Encoder) -> None:
    info = stub.GetEncoderInfo(GetEncoderInfoRequest(), timeout=30)
    assert info.fingerprint == reference.manifest.fingerprint
    assert (info.dimensions, info.precision) == (768, "int8")
    assert list(info.query_models) == ["recency", "mean", "last"]


BAD_QUERIES = [
    (EncodeQueryRequest(), "query", "NO_QUERY"),
    (EncodeQueryRequest(text="\t"), "text", "EMPTY_TEXT"),
    (EncodeQueryRequest(text="\u200b"), "text", "EMPTY_TEXT"),
    (EncodeQueryRequest(text="a" * 2001), "text", "TEXT_TOO_LONG"),
    (EncodeQueryRequest(context=Context()), "context.items", "CONTEXT_SIZE"),
    (
        EncodeQueryRequest(context=Context(items=[ContextItem(text=TEXT)]), query_model="x"),
        "query_model",
        "UNKNOWN_QUERY_MODEL",
    ),
]


@pytest.mark.parametrize(("request_", "field", "reason"), BAD_QUERIES)
def test_bad_input_is_named_and_the_server_stays_fit(
    stub: EncoderServiceStub, request_: EncodeQueryRequest, field: str, reason: str
) -> None:
    error = refused(lambda: stub.EncodeQuery(request_, timeout=30))
    assert isinstance(error, InvalidInput)
    assert error.reason == reason
    assert error.violations[0].field == field
    assert stub.EncodeQuery(EncodeQueryRequest(text=TEXT), timeout=30).vector.rows == 1


def test_bytes_that_are_no_message_and_text_that_is_not_utf8_are_refused(
    channel: grpc.Channel,
) -> None:
    call: Callable[..., object] = channel.unary_unary(f"/{SERVICE_NAME}/EncodeQuery")
    for payload in (b"\xff\xff\xff", b"\x0a\x02\xc3\x28"):
        error = refused(lambda payload=payload: call(payload, timeout=30))  # type: ignore[misc]
        assert isinstance(error, InvalidInput)
        assert error.reason == "UNPARSABLE"


def test_a_message_beyond_the_limit_is_refused(stub: EncoderServiceStub) -> None:
    error = refused(lambda: stub.Encode(EncodeRequest(texts=["a" * 70_000]), timeout=30))
    assert error.reason != "INTERNAL"
    assert stub.EncodeQuery(EncodeQueryRequest(text=TEXT), timeout=30).vector.rows == 1


def test_a_deadline_that_passes_is_told_and_the_queue_forgets_the_texts(model: Path) -> None:
    environ = settings(model, ENCODER_BULK_BATCH_TOKENS="8", ENCODER_METRICS_PORT="0")
    texts = [f"{TEXT} {TEXT} {number}" for number in range(64)]
    with (
        server_process("encoder_svc", environ) as running,
        grpc.insecure_channel(running.wait_serving()) as opened,
    ):
        stub = EncoderServiceStub(opened)
        grpc.channel_ready_future(opened).result(timeout=30)
        error = refused(lambda: stub.Encode(EncodeRequest(texts=texts), timeout=0.003))
        assert isinstance(error, DeadlineExceeded)
        # 128 texts fit in the lane: twice 64 only if those that expired have left it.
        calls = [stub.Encode.future(EncodeRequest(texts=texts), timeout=30) for _ in range(2)]
        assert [call.result().vectors.rows for call in calls] == [64, 64]


def test_a_damaged_model_is_named_and_nothing_is_served(tmp_path: Path) -> None:
    folder = write_tiny_folder(tmp_path / "model")
    content = bytearray((folder / "model.onnx").read_bytes())
    content[-100] ^= 0x40
    (folder / "model.onnx").write_bytes(content)
    with server_process("encoder_svc", settings(folder)) as running:
        assert running.wait_exit() == 1
        assert "model.onnx: sha256" in running.log


def test_no_model_folder_is_a_settings_error(tmp_path: Path) -> None:
    with server_process("encoder_svc", settings(tmp_path / "absent")) as running:
        assert running.wait_exit() == 2
        assert "no such model folder" in running.log


def asked(stub: EncoderServiceStub, query_model: str = "") -> EncodeQueryResponse:
    items = [ContextItem(text="the door"), ContextItem(text=TEXT)]
    request = EncodeQueryRequest(context=Context(items=items), query_model=query_model)
    answer: EncodeQueryResponse = stub.EncodeQuery(request, timeout=30)
    return answer


def test_query_models_of_a_folder_are_served_and_fallbacks_are_told_and_counted(
    model: Path, reference: Encoder, tmp_path: Path
) -> None:
    write_query_model(tmp_path, "amn_v0", "sha256:another")
    write_query_model(tmp_path, "gru_v0", reference.manifest.fingerprint)
    environ = settings(model, ENCODER_QUERY_MODELS_FOLDER=str(tmp_path), ENCODER_METRICS_PORT="0")
    with (
        server_process("encoder_svc", environ) as running,
        grpc.insecure_channel(running.wait_serving()) as opened,
    ):
        stub = EncoderServiceStub(opened)
        answer = asked(stub)
        assert answer.query_model == "gru_v0"
        assert answer.query_model_fallback.requested == "amn_v0"
        refused_reason = QueryModelFallback.REASON_MODEL_REFUSED
        assert answer.query_model_fallback.reason == refused_reason
        context = reference.encode(["the door", TEXT]).vectors
        vector = matrix_from_message(answer.vector, columns=768, field="vector")
        np.testing.assert_allclose(vector, normalize_rows(2 * context[:1] + context[1:]), atol=1e-4)
        named = asked(stub, "gru_v0")
        assert not named.HasField("query_model_fallback")
        assert asked(stub, "last").query_model == "last"
        served = list(stub.GetEncoderInfo(GetEncoderInfoRequest(), timeout=30).query_models)
        assert served == ["gru_v0", "recency", "mean", "last"]
        assert "query model amn_v0 is not served" in running.log


def test_a_query_model_that_is_too_slow_is_replaced(
    model: Path, reference: Encoder, tmp_path: Path
) -> None:
    write_query_model(tmp_path, "amn_v0", reference.manifest.fingerprint)
    environ = settings(
        model, ENCODER_QUERY_MODELS_FOLDER=str(tmp_path), ENCODER_QUERY_MODEL_LIMIT_MS="0.0001"
    )
    with (
        server_process("encoder_svc", environ) as running,
        grpc.insecure_channel(running.wait_serving()) as opened,
    ):
        answer = asked(EncoderServiceStub(opened))
        assert answer.query_model == "recency"
        assert answer.query_model_fallback.reason == QueryModelFallback.REASON_MODEL_LATE


def test_a_drain_under_load_loses_no_call_that_another_replica_can_serve(model: Path) -> None:
    options = ChannelOptions(health_service=SERVICE_NAME)
    environ = settings(model, ENCODER_LAME_DUCK_MS="300")
    with (
        server_process("encoder_svc", environ) as first,
        server_process("encoder_svc", environ) as second,
        open_channel([first.wait_serving(), second.wait_serving()], options) as channel,
    ):
        stub = EncoderServiceStub(channel)
        outcomes: Counter[str] = Counter()
        enough, done = threading.Event(), threading.Event()

        def call() -> None:
            while not done.is_set():
                try:
                    stub.EncodeQuery(EncodeQueryRequest(text=TEXT), timeout=20)
                    outcomes["answered"] += 1
                except grpc.RpcError as error:
                    outcomes[str(error)] += 1
                if outcomes["answered"] > 200:
                    enough.set()

        threads = [threading.Thread(target=call) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        first.terminate()
        assert first.wait_exit() == 0
        done.set()
        for thread in threads:
            thread.join(60)
        assert list(outcomes) == ["answered"]
