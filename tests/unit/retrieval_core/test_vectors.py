"""Checks and conversions of vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import (
    check_matrix,
    check_unit_rows,
    mean_direction,
    normalize_rows,
)

Finite = st.floats(allow_nan=False, allow_infinity=False, width=32, allow_subnormal=False).filter(
    lambda value: value != 0.0
)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 16)), elements=Finite))
def test_rows_come_out_with_norm_one_and_the_same_direction(matrix: np.ndarray) -> None:
    unit = normalize_rows(matrix)
    assert unit.dtype == np.float32
    assert unit.flags["C_CONTIGUOUS"]
    assert np.abs(np.linalg.norm(unit.astype(np.float64), axis=1) - 1.0).max() < 1e-6
    largest = np.abs(matrix).argmax(axis=1)
    rows = np.arange(len(matrix))
    assert (np.sign(unit[rows, largest]) == np.sign(matrix[rows, largest])).all()


def test_the_largest_and_the_smallest_floats_are_normalised() -> None:
    peak = np.finfo(np.float32).max
    tiny = np.finfo(np.float32).smallest_subnormal
    unit = normalize_rows(np.array([[peak, peak], [tiny, tiny]], np.float32))
    assert np.allclose(unit, np.sqrt(0.5), atol=1e-6)


def test_a_zero_row_has_no_direction() -> None:
    with pytest.raises(InvalidInput) as caught:
        normalize_rows(np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert caught.value.reason == "ZERO_VECTOR"


def test_no_rows_normalise_to_no_rows() -> None:
    assert normalize_rows(np.empty((0, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (np.zeros((1, 3)), "WRONG_DIMENSION"),
        (np.zeros(4), "WRONG_DIMENSION"),
        (np.zeros((0, 4)), "EMPTY_VECTOR"),
        (np.zeros((3, 4)), "TOO_MANY_ROWS"),
        (np.array([[0.0, np.nan, 0.0, 0.0]]), "NOT_FINITE"),
        (np.array([[0.0, np.inf, 0.0, 0.0]]), "NOT_FINITE"),
        (np.array([[0.0, -np.inf, 0.0, 0.0]]), "NOT_FINITE"),
    ],
)
def test_a_bad_matrix_is_refused_under_its_field(matrix: np.ndarray, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_matrix(matrix, columns=4, field="context.items[2].vector", max_rows=2)
    assert caught.value.reason == reason
    assert caught.value.violations[0].field == "context.items[2].vector"


def test_a_good_matrix_passes() -> None:
    check_matrix(np.ones((2, 4), np.float32), columns=4, field="vector", max_rows=2)


def test_unit_rows_pass_and_others_are_told_by_how_much() -> None:
    unit = normalize_rows(np.ones((2, 768)))
    check_unit_rows(unit, field="query")
    with pytest.raises(InvalidInput, match="unit norm") as caught:
        check_unit_rows(unit * np.float32(1.001), field="query")
    assert caught.value.reason == "NOT_UNIT_NORM"


def test_the_mean_direction_lies_between_the_rows() -> None:
    mean = mean_direction(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32))
    assert np.allclose(mean, [[np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-6)


def test_rows_that_cancel_out_have_no_mean_direction() -> None:
    with pytest.raises(InvalidInput) as caught:
        mean_direction(np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32))
    assert caught.value.reason == "ZERO_VECTOR"
