"""Encoder messages: what is refused, by which field, and what an answer holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from retrieval.v1.common_pb2 import Matrix
from retrieval.v1.encoder_pb2 import (
    PRIORITY_BULK,
    PRIORITY_QUERY,
    Context,
    ContextItem,
    EncodeRequest,
)

from encoder_svc.converters import (
    RequestLimits,
    context_items,
    encode_response,
    query_response,
    query_text,
    texts_from_request,
    timing_message,
)
from encoder_svc.query_encoder import EncodedQuery
from encoder_svc.text_encoder import EncodedTexts, EncodeTimes, Priority
from retrieval_core.errors import InvalidInput
from servicekit.call import make_call
from servicekit.durations import duration_to_ns
from servicekit.matrices import matrix_from_message, matrix_to_message

LIMITS = RequestLimits(max_texts=3, max_text_bytes=20)
UNIT = np.eye(1, 768, dtype=np.float32)


def vector_item(values: npt.NDArray[Any]) -> ContextItem:
    return ContextItem(vector=matrix_to_message(values.astype(np.float32)))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (EncodeRequest(texts=["a"]), Priority.QUERY),
        (EncodeRequest(texts=["a", "b"]), Priority.BULK),
        (EncodeRequest(texts=["a", "b"], priority=PRIORITY_QUERY), Priority.QUERY),
        (EncodeRequest(texts=["a"], priority=PRIORITY_BULK), Priority.BULK),
    ],
)
def test_priority_is_asked_for_or_follows_the_number_of_texts(
    request_: EncodeRequest, expected: Priority
) -> None:
    assert texts_from_request(request_, LIMITS) == (list(request_.texts), expected)


@pytest.mark.parametrize(
    ("request_", "field", "reason"),
    [
        (EncodeRequest(), "texts", "NO_TEXTS"),
        (EncodeRequest(texts=["a"] * 4), "texts", "TOO_MANY_TEXTS"),
        (EncodeRequest(texts=["a", " "]), "texts[1]", "EMPTY_TEXT"),
        (EncodeRequest(texts=["a" * 21]), "texts[0]", "TEXT_TOO_LONG"),
        (EncodeRequest(texts=["a"], priority=9), "priority", "UNKNOWN_PRIORITY"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_encode_request_is_refused_by_field(
    request_: EncodeRequest, field: str, reason: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        texts_from_request(request_, LIMITS)
    assert caught.value.reason == reason
    assert caught.value.violations[0].field == field


def test_the_text_of_a_query_is_called_text() -> None:
    assert query_text("a", LIMITS) == "a"
    with pytest.raises(InvalidInput) as caught:
        query_text("", LIMITS)
    assert caught.value.violations[0].field == "text"


def test_context_vectors_are_normalised_and_kept_in_order() -> None:
    context = Context(items=[ContextItem(text="a"), vector_item(UNIT * 3), ContextItem(text="b")])
    first, second, third = context_items(context, LIMITS)
    assert (first, third) == ("a", "b")
    np.testing.assert_array_equal(second, UNIT)


@pytest.mark.parametrize(
    ("items", "field", "reason"),
    [
        ([], "context.items", "CONTEXT_SIZE"),
        ([ContextItem(text="a")] * 6, "context.items", "CONTEXT_SIZE"),
        ([ContextItem(text="a"), ContextItem()], "context.items[1]", "EMPTY_ITEM"),
        ([ContextItem(text="")], "context.items[0].text", "EMPTY_TEXT"),
        ([vector_item(UNIT * 0)], "context.items[0].vector", "ZERO_VECTOR"),
        ([vector_item(UNIT * np.nan)], "context.items[0].vector", "NOT_FINITE"),
        ([vector_item(UNIT[:, :5])], "context.items[0].vector", "WRONG_DIMENSION"),
        ([vector_item(np.ones((2, 768)))], "context.items[0].vector", "TOO_MANY_ROWS"),
        ([ContextItem(vector=Matrix())], "context.items[0].vector.element_type", None),
    ],
)
def test_a_bad_context_is_refused_by_item(
    items: list[ContextItem], field: str, reason: str | None
) -> None:
    with pytest.raises(InvalidInput) as caught:
        context_items(Context(items=items), LIMITS)
    assert caught.value.violations[0].field == field
    assert reason is None or caught.value.reason == reason


def test_times_keep_their_nanoseconds_and_both_waits() -> None:
    call = make_call()
    call.queued_ns = 1_000
    times = EncodeTimes(
        queued_ns=8_000_001, tokenize_ns=30_000, run_ns=2_500_000, cached_count=1, batch_size=4
    )
    message = timing_message(times, call)
    assert duration_to_ns(message.server.queued) == 8_001_001
    assert duration_to_ns(message.server.elapsed) > 0
    assert duration_to_ns(message.tokenize) == 30_000
    assert duration_to_ns(message.run) == 2_500_000
    assert (message.cached_count, message.batch_size) == (1, 4)


def test_an_answer_holds_vectors_counts_and_cuts() -> None:
    encoded = EncodedTexts(np.concatenate([UNIT, UNIT]), (5, 900), (1,), EncodeTimes())
    message = encode_response(encoded, "sha256:x", make_call())
    vectors = matrix_from_message(message.vectors, columns=768, field="vectors")
    np.testing.assert_array_equal(vectors, encoded.vectors)
    assert list(message.token_counts) == [5, 900]
    assert list(message.truncated_indexes) == [1]
    assert message.fingerprint == "sha256:x"


def test_only_a_context_has_context_vectors() -> None:
    text = EncodedQuery(UNIT, None, "", 0, EncodeTimes(), truncated=True)
    message = query_response(text, "sha256:x", make_call())
    assert not message.HasField("context_vectors")
    assert message.truncated
    context = EncodedQuery(UNIT, UNIT, "mean", 1500, EncodeTimes(), truncated=False)
    message = query_response(context, "sha256:x", make_call())
    assert message.context_vectors.rows == 1
    assert message.query_model == "mean"
    assert duration_to_ns(message.query_model_elapsed) == 1500
