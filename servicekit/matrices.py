"""Matrix messages to and from numpy arrays; what arrives is checked once, here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from retrieval.v1.common_pb2 import Matrix

from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import Float16Matrix, Float32Matrix, check_matrix

# The wire is little-endian whatever the machine is.
_WIRE_TYPES: dict[Matrix.ElementType.ValueType, np.dtype[Any]] = {
    Matrix.ELEMENT_TYPE_FLOAT32: np.dtype("<f4"),
    Matrix.ELEMENT_TYPE_FLOAT16: np.dtype("<f2"),
}


def matrix_from_message(
    matrix: Matrix, *, columns: int | None, field: str, max_rows: int | None = None
) -> Float32Matrix:
    """Read a matrix of either element type.

    Returns [1..max_rows, columns] float32, finite, C order, read-only where no conversion was
    needed. `columns` None takes any number. Raises InvalidInput naming `field` or a part of it.
    """
    return _checked(matrix, columns, field, max_rows).astype(np.float32, copy=False)


def float16_matrix_from_message(
    matrix: Matrix, *, columns: int | None, field: str, max_rows: int | None = None
) -> Float16Matrix:
    """Like matrix_from_message for a field that must be float16; returns [n, columns] float16."""
    if matrix.element_type != Matrix.ELEMENT_TYPE_FLOAT16:
        raise InvalidInput(f"{field}.element_type", "must be float16", reason="WRONG_ELEMENT_TYPE")
    return _checked(matrix, columns, field, max_rows).astype(np.float16, copy=False)


def matrix_to_message(array: Float32Matrix | Float16Matrix) -> Matrix:
    """Write [n, d] float32 or float16; other types and shapes are a programming error."""
    if array.ndim != 2:
        raise ValueError(f"a matrix has 2 axes, not {array.ndim}")
    element_type = _element_type(array.dtype)
    values = np.ascontiguousarray(array, dtype=_WIRE_TYPES[element_type])
    return Matrix(
        rows=array.shape[0],
        columns=array.shape[1],
        element_type=element_type,
        values=values.tobytes(),
    )


def _element_type(dtype: np.dtype[Any]) -> Matrix.ElementType.ValueType:
    if dtype == np.float32:
        return Matrix.ELEMENT_TYPE_FLOAT32
    if dtype == np.float16:
        return Matrix.ELEMENT_TYPE_FLOAT16
    raise ValueError(f"a matrix is float32 or float16, not {dtype}")


def _checked(
    matrix: Matrix, columns: int | None, field: str, max_rows: int | None
) -> npt.NDArray[np.floating[Any]]:
    wire_type = _WIRE_TYPES.get(matrix.element_type)
    if wire_type is None:
        raise InvalidInput(
            f"{field}.element_type", "must be float32 or float16", reason="WRONG_ELEMENT_TYPE"
        )
    # Python integers: rows * columns of a hostile header cannot overflow.
    expected = matrix.rows * matrix.columns * wire_type.itemsize
    if len(matrix.values) != expected:
        raise InvalidInput(
            f"{field}.values",
            f"has {len(matrix.values)} bytes, expected {expected} for its rows and columns",
            reason="WRONG_BYTE_LENGTH",
        )
    # Nothing is in it: a header of 4 billion rows must not reach anything that loops over them.
    shape = (matrix.rows if expected else 0, matrix.columns)
    array: npt.NDArray[np.floating[Any]] = np.frombuffer(matrix.values, wire_type).reshape(shape)
    wanted = matrix.columns if columns is None else columns
    check_matrix(array, columns=wanted, field=field, max_rows=max_rows)
    return array
