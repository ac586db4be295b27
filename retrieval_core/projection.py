"""The fixed projection of vectors to a few columns, whose dot products estimate cosines.

Shards store every passage's projection, the reranker projects queries: both must use one matrix.
The matrix is a subsampled randomised Hadamard transform. Every element is +s or -s, with s a
power of two for 64 columns of 768, so that it is the same to the last bit on every machine and
its digest can stand for it in manifests. A matrix out of a QR factorisation could not promise that.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from retrieval_core.vectors import DIMENSIONS, Float16Matrix, Float32Matrix

PROJECTION_COLUMNS = 64
PROJECTION_SEED = 20261123

_PALEY_PRIME = 11
_SIGNS_BYTES = DIMENSIONS // 8
_KEYS_BYTES = DIMENSIONS * 8


def projection_matrix(
    seed: int = PROJECTION_SEED, columns: int = PROJECTION_COLUMNS
) -> Float32Matrix:
    """Matrix [768, columns] float32 whose columns are orthogonal and of norm sqrt(768 / columns).

    For unit vectors a and b, the dot product of `a @ matrix` and `b @ matrix` has the expectation
    a·b over seeds. ValueError unless 1 <= columns <= 768.
    """
    if not 1 <= columns <= DIMENSIONS:
        raise ValueError(f"columns must be 1 to {DIMENSIONS}, not {columns}")
    stream = hashlib.shake_256(f"retrieval-projection/1:{seed}".encode()).digest(
        _SIGNS_BYTES + _KEYS_BYTES
    )
    bits = np.unpackbits(np.frombuffer(stream, np.uint8, _SIGNS_BYTES))
    signs = 1.0 - 2.0 * bits.astype(np.float64)
    keys = np.frombuffer(stream, np.dtype("<u8"), DIMENSIONS, _SIGNS_BYTES)
    chosen = np.argsort(keys, kind="stable")[:columns]
    # Orthogonal columns of norm sqrt(768), scaled to sqrt(768 / columns).
    matrix = signs[:, None] * _hadamard_768()[:, chosen] / np.sqrt(columns)
    return np.ascontiguousarray(matrix, dtype=np.float32)


def project(vectors: Float32Matrix, matrix: Float32Matrix) -> Float16Matrix:
    """Project rows for storage and the wire.

    vectors [n, 768] float32, matrix [768, p] float32. Returns [n, p] float16, C order.
    """
    return np.ascontiguousarray((vectors @ matrix).astype(np.float16))


def projection_digest(matrix: Float32Matrix) -> str:
    """`sha256:` and the digest over shape and little-endian float32 elements, row after row."""
    rows, columns = matrix.shape
    head = f"{rows}x{columns}:".encode()
    return "sha256:" + hashlib.sha256(head + matrix.astype("<f4").tobytes()).hexdigest()


def _hadamard_768() -> npt.NDArray[np.float64]:
    return np.kron(_paley_hadamard_12(), _sylvester_hadamard(64)).astype(np.float64)


def _sylvester_hadamard(order: int) -> npt.NDArray[np.float64]:
    matrix = np.ones((1, 1))
    while len(matrix) < order:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _paley_hadamard_12() -> npt.NDArray[np.float64]:
    # Paley's first construction: I + S, where S borders the Jacobsthal matrix of the field of 11.
    residues = {x * x % _PALEY_PRIME for x in range(1, _PALEY_PRIME)}
    skew = np.zeros((_PALEY_PRIME + 1, _PALEY_PRIME + 1))
    skew[0, 1:], skew[1:, 0] = 1.0, -1.0
    for row in range(_PALEY_PRIME):
        for column in range(_PALEY_PRIME):
            difference = (row - column) % _PALEY_PRIME
            if difference:
                skew[row + 1, column + 1] = 1.0 if difference in residues else -1.0
    return skew + np.eye(_PALEY_PRIME + 1)
