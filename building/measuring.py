"""Figures of a release that are measured while it is built, and become gates of its manifest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from releases.manifest import Gate
from retrieval_core.vectors import UNIT_NORM_TOLERANCE, Float32Matrix

UNIT_NORM_GATE = "unit_norm"
AGREEMENT_GATE = "ivf_flat_agreement"
LEAST_AGREEMENT = 0.95
AGREEMENT_DEPTH = 10
AGREEMENT_QUERIES = 200
_QUERIES_AT_ONCE = 16


def measure_gates(vectors: Float32Matrix, centroids: Float32Matrix, nprobe: int) -> dict[str, Gate]:
    """Gates by name, of vectors [n, d] and centroids [nlist, d], both unit rows."""
    deviation = worst_norm_deviation(vectors)
    agreement = ivf_flat_agreement(vectors, centroids, nprobe)
    return {
        UNIT_NORM_GATE: Gate(deviation, UNIT_NORM_TOLERANCE, deviation < UNIT_NORM_TOLERANCE),
        AGREEMENT_GATE: Gate(agreement, LEAST_AGREEMENT, agreement >= LEAST_AGREEMENT),
    }


def worst_norm_deviation(vectors: Float32Matrix) -> float:
    """Largest distance of a row's norm from 1; the encoding has refused worse than the limit."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return float(np.abs(norms - 1.0).max())


def ivf_flat_agreement(
    vectors: Float32Matrix,
    centroids: Float32Matrix,
    nprobe: int,
    query_count: int = AGREEMENT_QUERIES,
) -> float:
    """Share of the best ten of exact search that `nprobe` lists hold, for a sample of passages.

    Each passage asks for its neighbours, itself left out. IVF-Flat finds exactly what stands in the
    lists that it scans, so that no index is needed: a neighbour is found if its list is scanned.
    """
    depth = min(AGREEMENT_DEPTH, len(vectors) - 1)
    if depth < 1:
        return 1.0
    rows = np.random.default_rng(0).permutation(len(vectors))[:query_count]
    shares = [
        _found(vectors, centroids, rows[start : start + _QUERIES_AT_ONCE], depth, nprobe)
        for start in range(0, len(rows), _QUERIES_AT_ONCE)
    ]
    return float(np.concatenate(shares).mean())


def _found(
    vectors: Float32Matrix,
    centroids: Float32Matrix,
    rows: npt.NDArray[np.int64],
    depth: int,
    nprobe: int,
) -> npt.NDArray[np.bool_]:
    """[queries, depth]: whether each of the nearest stands in a list that is scanned."""
    queries = vectors[rows]
    scores = queries @ vectors.T
    scores[np.arange(len(rows)), rows] = -np.inf
    nearest = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
    lists = (vectors[nearest] @ centroids.T).argmax(axis=-1)
    scanned = np.argsort(-(queries @ centroids.T), axis=1)[:, :nprobe]
    found: npt.NDArray[np.bool_] = (lists[:, :, None] == scanned[:, None, :]).any(axis=-1)
    return found
