"""Checks and conversions of vectors: shape, finiteness, norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import InvalidInput

Float32Matrix = npt.NDArray[np.float32]
Float16Matrix = npt.NDArray[np.float16]

DIMENSIONS = 768
UNIT_NORM_TOLERANCE = 1e-5


def normalize_rows(matrix: npt.NDArray[np.floating[Any]]) -> Float32Matrix:
    """Scale every row to norm 1.

    matrix [n, d], any float type. Returns [n, d] float32, C order, norms within 1e-6 of 1.
    A zero row raises InvalidInput. The norm is taken in float64, so that no row overflows.
    """
    wide = matrix.astype(np.float64)
    # Scaling by the largest entry first keeps squares of extreme values inside float64's range.
    peaks = np.abs(wide).max(axis=1, keepdims=True) if wide.size else np.ones((len(wide), 1))
    if not (peaks > 0).all():
        raise InvalidInput(
            "vector", "has no direction: every element is zero", reason="ZERO_VECTOR"
        )
    wide /= peaks
    wide /= np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return np.ascontiguousarray(wide, dtype=np.float32)


def check_matrix(
    matrix: npt.NDArray[np.floating[Any]], *, columns: int, field: str, max_rows: int | None = None
) -> None:
    """Raise InvalidInput naming `field` unless matrix is [1..max_rows, columns] and finite."""
    if matrix.ndim != 2 or matrix.shape[1] != columns:
        got = matrix.shape[1] if matrix.ndim == 2 else f"{matrix.ndim}-D"
        raise InvalidInput(
            field, f"has {got} columns, expected {columns}", reason="WRONG_DIMENSION"
        )
    if matrix.shape[0] == 0:
        raise InvalidInput(field, "has no rows", reason="EMPTY_VECTOR")
    if max_rows is not None and matrix.shape[0] > max_rows:
        raise InvalidInput(
            field, f"has {matrix.shape[0]} rows, at most {max_rows}", reason="TOO_MANY_ROWS"
        )
    if not np.isfinite(matrix).all():
        raise InvalidInput(field, "has NaN or infinite elements", reason="NOT_FINITE")


def check_unit_rows(matrix: Float32Matrix, *, field: str) -> None:
    """Raise InvalidInput naming `field` unless every row's norm is within 1e-5 of 1."""
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
    worst = float(np.abs(norms - 1.0).max())
    if worst >= UNIT_NORM_TOLERANCE:
        raise InvalidInput(
            field, f"is not of unit norm (off by {worst:.2g})", reason="NOT_UNIT_NORM"
        )


def mean_direction(matrix: Float32Matrix) -> Float32Matrix:
    """Normalised mean of the rows. matrix [n, d] unit rows; returns [1, d] float32, unit norm.

    Rows that cancel out raise InvalidInput.
    """
    mean = matrix.mean(axis=0, dtype=np.float64, keepdims=True)
    if float(np.abs(mean).max()) < 1e-7:
        raise InvalidInput("context", "its vectors cancel out", reason="ZERO_VECTOR")
    return normalize_rows(mean)
