from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from retrieval.v1 import common_pb2

from retrieval_client.converters import search_request
from retrieval_client.queries import Query, timeout_seconds
from retrieval_core.errors import InvalidInput


def field_of(error: pytest.ExceptionInfo[InvalidInput]) -> str:
    return error.value.violations[0].field


def test_a_text_query_carries_every_option() -> None:
    request = search_request(
        Query(
            text="read a csv file",
            limit=3,
            lanes=["docs"],
            nprobe=16,
            exact=True,
            excluded_passage_ids=[7, -1],
            explain=True,
            skip_rerank=True,
            fingerprint="sha256:ab",
            routing_key="team-7",
            query_model="gru_v0",
        )
    )
    assert request.WhichOneof("query") == "text"
    assert request.text == "read a csv file"
    assert (request.limit, request.nprobe, request.fingerprint) == (3, 16, "sha256:ab")
    assert (request.routing_key, request.query_model) == ("team-7", "gru_v0")
    assert list(request.lanes) == ["docs"]
    assert list(request.excluded_passage_ids) == [7, -1]
    assert request.exact
    assert request.explain
    assert request.skip_rerank


@pytest.mark.parametrize("shape", [(4,), (1, 4)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_a_vector_of_any_number_type_becomes_one_row_of_float32(
    shape: tuple[int, ...], dtype: type[Any]
) -> None:
    vector = np.array([1, -2, 3, 4], dtype).reshape(shape)
    matrix = search_request(Query(vector=vector)).vector
    assert (matrix.rows, matrix.columns) == (1, 4)
    assert matrix.element_type == common_pb2.Matrix.ELEMENT_TYPE_FLOAT32
    assert np.frombuffer(matrix.values, "<f4").tolist() == [1.0, -2.0, 3.0, 4.0]


def test_a_list_of_numbers_is_a_vector_too() -> None:
    matrix = search_request(Query(vector=[0.5, 0.25])).vector
    assert np.frombuffer(matrix.values, "<f4").tolist() == [0.5, 0.25]


def test_a_vector_in_reverse_memory_order_is_sent_in_its_own_order() -> None:
    backwards = np.arange(4, dtype=np.float32)[::-1]
    matrix = search_request(Query(vector=backwards)).vector
    assert np.frombuffer(matrix.values, "<f4").tolist() == [3.0, 2.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "vector", [np.zeros((2, 4)), np.zeros((1, 1, 4)), np.float32(1.0), "text", [[1.0], [1, 2]]]
)
def test_what_is_no_single_row_of_numbers_is_refused_by_name(vector: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        search_request(Query(vector=vector))
    assert field_of(error) == "vector"


def test_a_value_beyond_float32_is_left_for_the_server_to_refuse() -> None:
    matrix = search_request(Query(vector=[1e300, 0.0])).vector
    assert math.isinf(np.frombuffer(matrix.values, "<f4")[0])


def test_a_context_keeps_texts_and_vectors_in_order() -> None:
    request = search_request(Query(context=["first", np.ones(3), "last"]))
    kinds = [item.WhichOneof("item") for item in request.context.items]
    assert kinds == ["text", "vector", "text"]
    assert request.context.items[2].text == "last"


def test_a_bad_context_item_is_named_by_its_place() -> None:
    with pytest.raises(InvalidInput) as error:
        search_request(Query(context=["fine", np.ones((2, 3))]))
    assert field_of(error) == "context.items[1].vector"


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_text_that_is_no_utf8_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        search_request(Query(text=text))
    assert (field_of(error), error.value.reason) == ("text", "NOT_UTF8")


@pytest.mark.parametrize(
    "given",
    [{}, {"text": "a", "vector": [1.0]}, {"vector": [1.0], "context": ["a"]}],
)
def test_exactly_one_kind_of_query_is_asked_for(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="exactly one") as error:
        Query(**given)
    assert field_of(error) == "query"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": 1 << 32}, "limit"),
        ({"nprobe": -1}, "nprobe"),
        ({"lanes": "docs"}, "lanes"),
    ],
)
def test_options_out_of_range_are_refused_by_name(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        Query(text="a", **given)
    assert field_of(error) == field


@pytest.mark.parametrize("context", [[], ["a"] * 6])
def test_a_context_has_one_to_five_items(context: list[str]) -> None:
    with pytest.raises(InvalidInput) as error:
        Query(context=context)
    assert field_of(error) == "context.items"


def test_a_context_that_is_one_text_is_not_taken_apart_into_letters() -> None:
    with pytest.raises(InvalidInput, match="list of items"):
        Query(context="abc")


@pytest.mark.parametrize("timeout_ms", [0.0, -5.0, math.inf, math.nan])
def test_a_timeout_is_finite_and_above_zero(timeout_ms: float) -> None:
    with pytest.raises(InvalidInput, match="timeout_ms"):
        timeout_seconds(timeout_ms)


def test_milliseconds_become_seconds() -> None:
    assert timeout_seconds(8.5) == pytest.approx(0.0085)
