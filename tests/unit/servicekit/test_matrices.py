"""Matrix messages: exact both ways, and every way of being wrong is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from retrieval.v1.common_pb2 import Matrix

from retrieval_core.errors import InvalidInput
from servicekit.matrices import (
    float16_matrix_from_message,
    matrix_from_message,
    matrix_to_message,
)

F32 = Matrix.ELEMENT_TYPE_FLOAT32
F16 = Matrix.ELEMENT_TYPE_FLOAT16


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_float32_comes_back_exactly(array: np.ndarray) -> None:
    sent = Matrix.FromString(matrix_to_message(array).SerializeToString())
    received = matrix_from_message(sent, columns=array.shape[1], field="m")
    assert received.dtype == np.float32
    assert received.tobytes() == array.tobytes()


def test_float16_comes_back_in_either_width() -> None:
    array = np.arange(12).reshape(3, 4).astype(np.float16)
    message = matrix_to_message(array)
    assert len(message.values) == 24
    assert matrix_from_message(message, columns=4, field="m").dtype == np.float32
    narrow = float16_matrix_from_message(message, columns=4, field="m")
    assert narrow.dtype == np.float16
    assert (narrow == array).all()


def test_rows_of_a_transposed_array_are_sent_in_row_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    received = matrix_from_message(matrix_to_message(array), columns=2, field="m")
    assert received.tolist() == array.tolist()


def raw(rows: int, columns: int, element_type: Matrix.ElementType.ValueType, size: int) -> Matrix:
    return Matrix(rows=rows, columns=columns, element_type=element_type, values=b"\0" * size)


@pytest.mark.parametrize(
    ("message", "field", "reason"),
    [
        (Matrix(), "query.element_type", "WRONG_ELEMENT_TYPE"),
        (raw(1, 4, F32, 15), "query.values", "WRONG_BYTE_LENGTH"),
        (raw(1, 4, F16, 16), "query.values", "WRONG_BYTE_LENGTH"),
        (raw(2**32 - 1, 2**32 - 1, F32, 16), "query.values", "WRONG_BYTE_LENGTH"),
        (raw(1, 3, F32, 12), "query", "WRONG_DIMENSION"),
        (raw(2**32 - 1, 0, F32, 0), "query", "WRONG_DIMENSION"),
        (raw(0, 4, F32, 0), "query", "EMPTY_VECTOR"),
        (raw(3, 4, F32, 48), "query", "TOO_MANY_ROWS"),
    ],
)
def test_what_is_wrong_is_named(message: Matrix, field: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        matrix_from_message(message, columns=4, field="query", max_rows=2)
    assert raised.value.violations[0].field == field
    assert raised.value.reason == reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    array = np.zeros((1, 4), np.float32)
    array[0, 2] = value
    with pytest.raises(InvalidInput) as raised:
        matrix_from_message(matrix_to_message(array), columns=4, field="query")
    assert raised.value.reason == "NOT_FINITE"


def test_an_unknown_element_type_number_is_refused() -> None:
    message = Matrix.FromString(b"\x08\x01\x10\x01\x18\x63\x22\x04\0\0\0\0")
    assert message.element_type == 99
    with pytest.raises(InvalidInput, match="element_type"):
        matrix_from_message(message, columns=1, field="query")


def test_float16_is_demanded_where_it_is_said() -> None:
    with pytest.raises(InvalidInput, match=r"projections\.element_type: must be float16"):
        float16_matrix_from_message(raw(1, 4, F32, 16), columns=4, field="projections")


def test_any_number_of_columns_when_none_is_given() -> None:
    assert matrix_from_message(raw(2, 5, F32, 40), columns=None, field="m").shape == (2, 5)
    with pytest.raises(InvalidInput, match="has no rows"):
        matrix_from_message(raw(2**32 - 1, 0, F32, 0), columns=None, field="m")


@pytest.mark.parametrize("array", [np.zeros(3, np.float32), np.zeros((1, 2), np.float64)])
def test_writing_anything_else_is_a_defect(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a matrix"):
        matrix_to_message(array)
