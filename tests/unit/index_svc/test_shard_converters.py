"""Messages of the shard service to and from values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from retrieval.v1.common_pb2 import Matrix
from retrieval.v1.shard_pb2 import ShardServiceSearchRequest, ShardServiceSearchResponse

from index_svc.converters import hit_list, search_response, shard_info_response, shard_query
from index_svc.passages import PassageColumns
from index_svc.shard import ShardAnswer, ShardFacts
from retrieval_core.errors import InvalidInput
from retrieval_core.hits import HitList
from servicekit.call import make_call
from servicekit.matrices import float16_matrix_from_message, matrix_to_message

QUERY = np.array([[0.6, 0.8, 0.0]], np.float32)


def request(**changes: Any) -> ShardServiceSearchRequest:
    fields = {"query": matrix_to_message(QUERY), "k": 7, **changes}
    return ShardServiceSearchRequest(**fields)


def hits(*, projections: bool) -> HitList:
    return HitList(
        np.array([5, 3], np.int64),
        np.array([0.5, 0.25], np.float32),
        np.array([2**64 - 1, 0], np.uint64),
        np.array([0, 9], np.int32),
        np.array([[1.5, -2.0], [0.0, 3.0]], np.float16) if projections else None,
    )


def answer(**changes: Any) -> ShardAnswer:
    fields: dict[str, Any] = {
        "hits": hits(projections=False),
        "passages": None,
        "search_ns": 1_234_567,
        "nprobe": 8,
        "unknown_lanes": ("x",),
        "widened": False,
        **changes,
    }
    return ShardAnswer(**fields)


def test_a_bare_request_takes_the_defaults() -> None:
    query = shard_query(request(), 3)
    np.testing.assert_array_equal(query.vector, QUERY)
    assert (query.k, query.nprobe, query.exact, query.lanes) == (7, 0, False, ())
    assert query.excluded_ids.dtype == np.int64
    assert len(query.excluded_ids) == 0
    assert query.fingerprint == ""
    assert not query.include_passages
    assert not query.include_projections


def test_every_field_is_read() -> None:
    query = shard_query(
        request(
            k=2**32 - 1,
            nprobe=3,
            exact=True,
            lanes=["b", "a"],
            excluded_passage_ids=[2**62, -1],
            fingerprint="sha256:1",
            include_passages=True,
            include_projections=True,
        ),
        3,
    )
    assert (query.k, query.nprobe, query.exact) == (2**32 - 1, 3, True)
    assert query.lanes == ("b", "a")
    assert query.excluded_ids.tolist() == [2**62, -1]
    assert query.fingerprint == "sha256:1"
    assert query.include_passages
    assert query.include_projections


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (Matrix(), "WRONG_ELEMENT_TYPE"),
        (matrix_to_message(QUERY[:, :2]), "WRONG_DIMENSION"),
        (matrix_to_message(np.repeat(QUERY, 2, axis=0)), "TOO_MANY_ROWS"),
        (matrix_to_message(QUERY * np.float32(np.nan)), "NOT_FINITE"),
    ],
)
def test_a_query_that_is_no_row_of_the_shard_is_refused(matrix: Matrix, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        shard_query(request(query=matrix), 3)
    assert caught.value.reason == reason
    assert caught.value.violations[0].field.startswith("query")


def test_an_answer_keeps_every_value() -> None:
    call = make_call()
    call.queued_ns = 2_000_003
    passages = PassageColumns(["ä", "b"], ["l1", "l2"], ["text é", ""])
    message = search_response(
        answer(hits=hits(projections=True), passages=passages), "release-1", call
    )
    response = ShardServiceSearchResponse.FromString(message.SerializeToString())
    assert list(response.hits.passage_ids) == [5, 3]
    assert list(response.hits.scores) == [0.5, 0.25]
    assert list(response.hits.article_keys) == [2**64 - 1, 0]
    assert list(response.hits.positions) == [0, 9]
    assert list(response.passages.article_ids) == ["ä", "b"]
    assert list(response.passages.lanes) == ["l1", "l2"]
    assert list(response.passages.texts) == ["text é", ""]
    np.testing.assert_array_equal(
        float16_matrix_from_message(response.projections, columns=2, field="projections"),
        hits(projections=True).projections,
    )
    assert response.search.ToNanoseconds() == 1_234_567
    assert response.server.queued.ToNanoseconds() == 2_000_003
    assert response.server.elapsed.ToNanoseconds() > 0
    assert response.nprobe == 8
    assert list(response.unknown_lanes) == ["x"]
    assert response.release_id == "release-1"


def test_what_was_not_asked_for_is_absent() -> None:
    message = search_response(answer(), "r", make_call())
    assert not message.HasField("passages")
    assert not message.HasField("projections")


def test_no_hits_are_an_empty_list() -> None:
    assert hit_list(HitList.empty()).ByteSize() == 0


def test_facts_are_told() -> None:
    facts = ShardFacts("r", 1, 4, 12, 768, 30, 8, ("a", "b"), "sha256:2", 64, 1.5, 10)
    message = shard_info_response(facts, "0.1.0")
    assert (message.release_id, message.shard, message.shard_count) == ("r", 1, 4)
    assert (message.passage_count, message.dimensions) == (12, 768)
    assert (message.nlist, message.nprobe, list(message.lanes)) == (30, 8, ["a", "b"])
    assert (message.fingerprint, message.projection_dimensions) == ("sha256:2", 64)
    assert (message.imbalance_ratio, message.version) == (1.5, "0.1.0")
    assert facts.growth_ratio == pytest.approx(0.2)
