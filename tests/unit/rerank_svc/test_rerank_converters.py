"""Every way in which a request can be wrong names its field; a right one arrives unchanged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from retrieval.v1.common_pb2 import Matrix
from retrieval.v1.rerank_pb2 import QUERY_KIND_UNSPECIFIED, RerankRequest

from rerank_svc.candidates import QueryKind
from rerank_svc.converters import (
    RequestLimits,
    rerank_input_from_request,
    response_from_scored,
    timing_message,
)
from rerank_svc.features import FEATURE_NAMES
from rerank_svc.model import Scored
from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import DIMENSIONS
from servicekit.durations import duration_to_ns
from servicekit.matrices import matrix_to_message
from tests.support.rerank_samples import make_input, make_request

LIMITS = RequestLimits(max_candidates=60, projection_dimensions=64)
Break = Callable[[RerankRequest], None]


@pytest.mark.parametrize("context_count", [0, 1, 5])
def test_a_request_arrives_as_it_was_meant(context_count: int) -> None:
    sent, _ = make_input(50, seed=1, context_count=context_count)
    received = rerank_input_from_request(make_request(sent), LIMITS)
    assert received.kind is sent.kind
    for name in ("scores", "article_keys", "projections", "query"):
        np.testing.assert_array_equal(getattr(received, name), getattr(sent, name), err_msg=name)
        assert getattr(received, name).dtype == getattr(sent, name).dtype, name
    if sent.context is None:
        assert received.context is None
    else:
        np.testing.assert_array_equal(received.context, sent.context)


def test_a_context_without_rows_is_no_context() -> None:
    request = make_request(make_input(5, seed=2)[0])
    request.context_vectors.CopyFrom(Matrix(element_type=Matrix.ELEMENT_TYPE_FLOAT32))
    assert rerank_input_from_request(request, LIMITS).context is None


def set_matrix(field: str, array: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Break:
    return lambda request: getattr(request, field).CopyFrom(matrix_to_message(array))


def unit(rows: int, columns: int = DIMENSIONS) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.eye(rows, columns, dtype=np.float32)


def set_item(field: str, index: int, value: float) -> Break:
    def apply(request: RerankRequest) -> None:
        getattr(request, field)[index] = value

    return apply


def cut(field: str, length: int) -> Break:
    def apply(request: RerankRequest) -> None:
        del getattr(request, field)[length:]

    return apply


def clear(field: str) -> Break:
    return lambda request: request.ClearField(field)  # type: ignore[arg-type]


def set_values(field: str, values: bytes) -> Break:
    def apply(request: RerankRequest) -> None:
        getattr(request, field).values = values

    return apply


def set_kind(request: RerankRequest) -> None:
    request.query_kind = QUERY_KIND_UNSPECIFIED


NAN_PROJECTION = np.full((50, 64), np.nan, np.float16)
BROKEN: list[tuple[Break, str, str]] = [
    (set_kind, "query_kind", "UNKNOWN_QUERY_KIND"),
    (clear("passage_ids"), "passage_ids", "NO_CANDIDATES"),
    (
        lambda request: request.passage_ids.extend(range(1000, 1011)),
        "passage_ids",
        "TOO_MANY_CANDIDATES",
    ),
    (set_item("passage_ids", 3, 100), "passage_ids", "DUPLICATE_CANDIDATE"),
    (cut("scores", 49), "scores", "UNEQUAL_LENGTHS"),
    (clear("scores"), "scores", "UNEQUAL_LENGTHS"),
    (set_item("scores", 7, float("nan")), "scores", "NOT_FINITE"),
    (set_item("scores", 7, float("-inf")), "scores", "NOT_FINITE"),
    (set_item("scores", 7, 1.01), "scores", "NOT_A_COSINE"),
    (cut("article_keys", 1), "article_keys", "UNEQUAL_LENGTHS"),
    (clear("projections"), "projections.element_type", "WRONG_ELEMENT_TYPE"),
    (set_matrix("projections", unit(50, 64)), "projections.element_type", "WRONG_ELEMENT_TYPE"),
    (set_values("projections", b"123"), "projections.values", "WRONG_BYTE_LENGTH"),
    (
        set_matrix("projections", np.zeros((50, 32), np.float16)),
        "projections",
        "WRONG_DIMENSION",
    ),
    (
        set_matrix("projections", np.zeros((49, 64), np.float16)),
        "projections",
        "UNEQUAL_LENGTHS",
    ),
    (set_matrix("projections", NAN_PROJECTION), "projections", "NOT_FINITE"),  # type: ignore[arg-type]
    (clear("query"), "query.element_type", "WRONG_ELEMENT_TYPE"),
    (set_matrix("query", unit(1, 384)), "query", "WRONG_DIMENSION"),
    (set_matrix("query", unit(2)), "query", "TOO_MANY_ROWS"),
    (set_matrix("query", np.full((1, DIMENSIONS), np.inf, np.float32)), "query", "NOT_FINITE"),
    (set_matrix("query", unit(1) * 2), "query", "NOT_UNIT_NORM"),
    (set_matrix("query", unit(1) * 0), "query", "NOT_UNIT_NORM"),
    (clear("context_vectors"), "context_vectors.element_type", "WRONG_ELEMENT_TYPE"),
    (set_matrix("context_vectors", unit(6)), "context_vectors", "TOO_MANY_ROWS"),
    (set_matrix("context_vectors", unit(2) * 0.5), "context_vectors", "NOT_UNIT_NORM"),
    (set_matrix("context_vectors", unit(2, 64)), "context_vectors", "WRONG_DIMENSION"),
]


@pytest.mark.parametrize(("break_it", "field", "reason"), BROKEN)
def test_what_is_wrong_is_named(break_it: Break, field: str, reason: str) -> None:
    request = make_request(make_input(50, seed=3, context_count=2)[0])
    break_it(request)
    with pytest.raises(InvalidInput) as refusal:
        rerank_input_from_request(request, LIMITS)
    assert (refusal.value.violations[0].field, refusal.value.reason) == (field, reason)


def test_a_question_with_context_is_refused() -> None:
    request = make_request(make_input(5, seed=4)[0])
    set_matrix("context_vectors", unit(2))(request)
    with pytest.raises(InvalidInput) as refusal:
        rerank_input_from_request(request, LIMITS)
    assert refusal.value.violations[0].field == "context_vectors"
    assert refusal.value.reason == "HAS_CONTEXT"


def test_kinds_are_told_apart() -> None:
    kinds = {
        rerank_input_from_request(
            make_request(make_input(3, 5, context_count=count)[0]), LIMITS
        ).kind
        for count in (0, 2)
    }
    assert kinds == {QueryKind.QUESTION, QueryKind.CONTEXT}


def test_features_travel_only_when_asked_for() -> None:
    scored = Scored(np.array([2.0, -1.0], np.float32), np.ones((2, 32), np.float32))
    timing = timing_message(1_500_000, 1_000_000_007)
    plain = response_from_scored(scored, RerankRequest(), "m", timing)
    assert list(plain.scores) == [2.0, -1.0]
    assert not plain.HasField("features")
    assert not plain.feature_names
    assert duration_to_ns(plain.server.queued) == 1_500_000
    assert duration_to_ns(plain.server.elapsed) == 1_000_000_007
    full = response_from_scored(scored, RerankRequest(include_features=True), "m", timing)
    assert (full.features.rows, full.features.columns) == (2, 32)
    assert tuple(full.feature_names) == FEATURE_NAMES
