"""Internal messages: what the gateway writes, and which answers it does not believe."""

from __future__ import annotations

import numpy as np
import pytest
from retrieval.v1 import rerank_pb2
from retrieval.v1.encoder_pb2 import EncodeQueryResponse, QueryModelFallback
from retrieval.v1.rerank_pb2 import RerankResponse
from retrieval.v1.shard_pb2 import HitList, PassageList, ShardServiceSearchResponse

from gateway.backend_converters import (
    encode_request,
    encoded_query,
    rerank_answer,
    rerank_request,
    shard_answer,
    shard_request,
)
from gateway.clients import public_field
from gateway.ports import RerankQuery, ShardQuery
from gateway.query import ContextQuery, TextQuery
from retrieval_core.coverage import DegradationStep
from retrieval_core.errors import InternalError
from servicekit.matrices import matrix_to_message
from tests.support.gateway_ports import hits_of, unit_vector


def shard_response(count: int = 2) -> ShardServiceSearchResponse:
    response = ShardServiceSearchResponse(
        hits=HitList(
            passage_ids=[2**40 + one for one in range(count)],
            scores=[0.5] * count,
            article_keys=[2**64 - 1 - one for one in range(count)],
            positions=[7] * count,
        ),
        passages=PassageList(
            article_ids=["a"] * count, lanes=["news"] * count, texts=["text"] * count
        ),
        unknown_lanes=["help"],
        nprobe=8,
        release_id="r1",
    )
    response.projections.CopyFrom(matrix_to_message(np.ones((count, 4), np.float16)))
    response.server.queued.nanos = 1500
    return response


def test_a_shard_answer_is_read_whole() -> None:
    answer = shard_answer(shard_response())
    assert answer.hits.passage_ids.tolist() == [2**40, 2**40 + 1]
    assert answer.hits.article_keys.tolist() == [2**64 - 1, 2**64 - 2]
    assert answer.hits.positions.tolist() == [7, 7]
    assert answer.hits.scores.dtype == np.float32
    assert answer.hits.projections is not None
    assert answer.hits.projections.shape == (2, 4)
    assert (answer.passages[1].article_id, answer.passages[1].lane) == ("a", "news")
    assert answer.passages[1].text == "text"
    assert (answer.release_id, answer.nprobe, answer.queued_ns) == ("r1", 8, 1500)
    assert answer.unknown_lanes == ("help",)


def test_a_shard_without_hits_is_read_as_none() -> None:
    answer = shard_answer(ShardServiceSearchResponse(release_id="r1"))
    assert len(answer.hits) == 0
    assert answer.hits.projections is None


@pytest.mark.parametrize("column", ["scores", "article_keys", "positions"])
def test_columns_that_are_not_parallel_are_a_defect_of_the_shard(column: str) -> None:
    response = shard_response()
    getattr(response.hits, column).pop()
    with pytest.raises(InternalError):
        shard_answer(response)


@pytest.mark.parametrize("column", ["article_ids", "lanes", "texts"])
def test_fewer_texts_than_hits_are_a_defect_of_the_shard(column: str) -> None:
    response = shard_response()
    getattr(response.passages, column).pop()
    with pytest.raises(InternalError):
        shard_answer(response)


@pytest.mark.parametrize("rows", [1, 3])
def test_projections_of_other_rows_are_a_defect_of_the_shard(rows: int) -> None:
    response = shard_response()
    response.projections.CopyFrom(matrix_to_message(np.ones((rows, 4), np.float16)))
    with pytest.raises(InternalError):
        shard_answer(response)


def test_a_search_is_written_whole() -> None:
    query = ShardQuery(unit_vector(), 60, 4, True, ("news",), (5,), "fp", True)
    message = shard_request(query)
    assert np.array_equal(np.frombuffer(message.query.values, "<f4"), unit_vector()[0])
    assert (message.k, message.nprobe, message.exact) == (60, 4, True)
    assert (list(message.lanes), list(message.excluded_passage_ids)) == (["news"], [5])
    assert (message.fingerprint, message.include_projections) == ("fp", True)
    assert message.include_passages


def test_texts_and_contexts_are_written_for_the_encoder() -> None:
    assert encode_request(TextQuery("why")).text == "why"
    written = encode_request(ContextQuery(("one", unit_vector()))).context
    assert written.items[0].text == "one"
    assert written.items[1].vector.columns == 768


def test_an_encoded_context_is_read_whole() -> None:
    response = EncodeQueryResponse(fingerprint="fp", query_model="mean", truncated=True)
    response.vector.CopyFrom(matrix_to_message(unit_vector()))
    response.context_vectors.CopyFrom(matrix_to_message(np.repeat(unit_vector(), 3, axis=0)))
    response.query_model_elapsed.nanos = 900
    response.timing.server.queued.nanos = 70
    encoded = encoded_query(response)
    assert encoded.context_vectors is not None
    assert encoded.context_vectors.shape == (3, 768)
    assert (encoded.fingerprint, encoded.query_model, encoded.truncated) == ("fp", "mean", True)
    assert (encoded.query_model_ns, encoded.queued_ns) == (900, 70)


@pytest.mark.parametrize("reason", ["MODEL_MISSING", "MODEL_LATE", "MODEL_REFUSED"])
def test_a_query_model_that_was_replaced_is_a_degradation(reason: str) -> None:
    response = EncodeQueryResponse(query_model="gru_v0")
    response.vector.CopyFrom(matrix_to_message(unit_vector()))
    assert encoded_query(response).degradation is None
    response.query_model_fallback.requested = "amn_v0"
    response.query_model_fallback.reason = QueryModelFallback.Reason.Value(f"REASON_{reason}")
    degradation = encoded_query(response).degradation
    assert degradation is not None
    assert degradation.step is DegradationStep.QUERY_MODEL_FALLBACK
    assert degradation.reason == reason
    assert degradation.detail == "gru_v0 answered for amn_v0"


def test_a_vector_of_another_size_is_a_defect_of_the_encoder_not_of_the_caller() -> None:
    response = EncodeQueryResponse()
    response.vector.CopyFrom(matrix_to_message(np.ones((1, 3), np.float32)))
    with pytest.raises(InternalError):
        encoded_query(response)


@pytest.mark.parametrize("rows", [None, 2])
def test_candidates_are_written_as_parallel_arrays(rows: int | None) -> None:
    candidates = hits_of([(12, 0.5), (34, 0.25)])
    context = None if rows is None else np.repeat(unit_vector(), rows, axis=0)
    message = rerank_request(RerankQuery(candidates, unit_vector(), context, "fp", True))
    assert list(message.passage_ids) == [12, 34]
    assert list(message.scores) == [0.5, 0.25]
    assert list(message.article_keys) == [1, 3]
    assert (message.projections.rows, message.projections.columns) == (2, 4)
    assert message.fingerprint == "fp"
    assert message.include_features
    if rows is None:
        assert message.query_kind == rerank_pb2.QUERY_KIND_QUESTION
        assert not message.HasField("context_vectors")
    else:
        assert message.query_kind == rerank_pb2.QUERY_KIND_CONTEXT
        assert message.context_vectors.rows == rows


def test_scores_and_features_are_read() -> None:
    response = RerankResponse(scores=[0.5, 0.25], feature_names=["a", "b", "c"])
    response.features.CopyFrom(matrix_to_message(np.ones((2, 3), np.float32)))
    answer = rerank_answer(response, 2)
    assert answer.scores.tolist() == [0.5, 0.25]
    assert answer.features is not None
    assert answer.features.shape == (2, 3)
    assert answer.feature_names == ("a", "b", "c")


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_scores_is_a_defect_of_the_reranker(count: int) -> None:
    with pytest.raises(InternalError):
        rerank_answer(RerankResponse(scores=[0.5, 0.25]), count)


@pytest.mark.parametrize(
    ("internal", "public"),
    [
        ("k", "limit"),
        ("query", "vector"),
        ("query.values", "vector.values"),
        ("nprobe", "nprobe"),
        ("lanes[1]", "lanes[1]"),
        ("context.items[1].text", "context.items[1].text"),
    ],
)
def test_callers_read_the_names_of_their_own_request(internal: str, public: str) -> None:
    assert public_field(internal) == public
