"""The reranker through a real server: answers, refusals, and that it is fit after each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from retrieval.v1.rerank_pb2 import GetRerankerInfoRequest, RerankRequest
from retrieval.v1.rerank_pb2_grpc import RerankServiceStub

from rerank_svc.features import FEATURE_NAMES
from rerank_svc.model import RerankModel
from rerank_svc.servicer import SERVICE_NAME, rerank_service
from rerank_svc.settings import RerankSettings
from retrieval_core.errors import FailedPrecondition, InvalidInput, RetrievalError
from servicekit.durations import duration_to_ns
from servicekit.matrices import matrix_from_message
from servicekit.status import error_from_rpc
from servicekit.sync_server import SyncServer
from tests.support.rerank_samples import (
    FINGERPRINT,
    make_input,
    make_request,
    write_sample_reranker,
)

TIMEOUT_S = 10.0
MAX_CANDIDATES = 100


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> RerankModel:
    folder: Path = tmp_path_factory.mktemp("reranker")
    write_sample_reranker(folder)
    return RerankModel.load(folder)


@pytest.fixture(scope="module")
def address(model: RerankModel) -> Iterator[str]:
    settings = RerankSettings(port=0, max_candidates=MAX_CANDIDATES)
    with SyncServer(settings, [rerank_service(model, MAX_CANDIDATES, "1.2.3")]) as server:
        yield server.address


@pytest.fixture(scope="module")
def stub(address: str) -> Iterator[RerankServiceStub]:
    with grpc.insecure_channel(address) as channel:
        yield RerankServiceStub(channel)


def refusal(stub: RerankServiceStub, request: RerankRequest) -> RetrievalError:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Rerank(request, timeout=TIMEOUT_S)
    return error_from_rpc(caught.value)


@pytest.mark.parametrize("context_count", [0, 1, 5])
def test_scores_are_those_of_the_model(
    stub: RerankServiceStub, model: RerankModel, context_count: int
) -> None:
    given_input, _ = make_input(50, seed=1, context_count=context_count)
    response = stub.Rerank(make_request(given_input), timeout=TIMEOUT_S)
    np.testing.assert_array_equal(
        np.array(response.scores, np.float32), model.score(given_input).scores
    )
    assert response.model == "reranker_mlp_v0"
    assert not response.HasField("features")
    elapsed_ns = duration_to_ns(response.server.elapsed)
    assert 0 <= duration_to_ns(response.server.queued) <= elapsed_ns
    assert 0 < elapsed_ns < TIMEOUT_S * 1e9


def test_features_come_named_when_asked_for(stub: RerankServiceStub, model: RerankModel) -> None:
    given_input, _ = make_input(20, seed=2, context_count=3)
    request = make_request(given_input)
    request.include_features = True
    response = stub.Rerank(request, timeout=TIMEOUT_S)
    assert tuple(response.feature_names) == FEATURE_NAMES
    features = matrix_from_message(response.features, columns=len(FEATURE_NAMES), field="features")
    np.testing.assert_array_equal(features, model.score(given_input).features)


def test_it_says_what_it_serves(stub: RerankServiceStub) -> None:
    info = stub.GetRerankerInfo(GetRerankerInfoRequest(), timeout=TIMEOUT_S)
    assert info.name == "reranker_mlp_v0"
    assert info.encoder_fingerprint == FINGERPRINT
    assert tuple(info.feature_names) == FEATURE_NAMES
    assert (info.projection_dimensions, info.max_candidates) == (64, MAX_CANDIDATES)
    assert info.version == "1.2.3"


def test_vectors_of_another_encoder_are_refused(stub: RerankServiceStub) -> None:
    given_input, _ = make_input(5, seed=3)
    error = refusal(stub, make_request(given_input, fingerprint="sha256:another"))
    assert isinstance(error, FailedPrecondition)
    assert error.reason == "FINGERPRINT_MISMATCH"
    assert "sha256:another" in error.message
    assert FINGERPRINT in error.message
    # An empty fingerprint is not checked.
    stub.Rerank(make_request(given_input, fingerprint=""), timeout=TIMEOUT_S)


def test_bad_input_is_named_and_the_server_fit_afterwards(stub: RerankServiceStub) -> None:
    good, _ = make_input(10, seed=4)
    expected = stub.Rerank(make_request(good), timeout=TIMEOUT_S).scores
    too_many, _ = make_input(MAX_CANDIDATES + 1, seed=5)
    not_finite = dataclasses.replace(good, projections=np.full_like(good.projections, np.nan))
    wrong_length = dataclasses.replace(good, article_keys=good.article_keys[:-1])
    wrong_dimension = dataclasses.replace(good, query=good.query[:, :100])
    for given_input, field in (
        (too_many, "passage_ids"),
        (not_finite, "projections"),
        (wrong_length, "article_keys"),
        (wrong_dimension, "query"),
    ):
        error = refusal(stub, make_request(given_input))
        assert isinstance(error, InvalidInput)
        assert error.violations[0].field == field
        assert stub.Rerank(make_request(good), timeout=TIMEOUT_S).scores == expected


def test_bytes_that_are_no_message_are_bad_input(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE_NAME}/Rerank"
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\xff\xff\xff\xff", timeout=TIMEOUT_S)
    assert isinstance(error_from_rpc(caught.value), InvalidInput)


def test_concurrent_callers_get_their_own_answers(
    stub: RerankServiceStub, model: RerankModel
) -> None:
    inputs = [make_input(30 + seed, seed, context_count=seed % 6)[0] for seed in range(20)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda one: stub.Rerank(make_request(one), timeout=TIMEOUT_S), inputs)
        )
    for given_input, answer in zip(inputs, answers, strict=True):
        np.testing.assert_array_equal(
            np.array(answer.scores, np.float32), model.score(given_input).scores
        )
