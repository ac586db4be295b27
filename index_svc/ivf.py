"""Builds FAISS indexes: the coarse quantiser, IVF-Flat over it, and the flat index of the truth.

OPENBLAS_CORETYPE and OMP_NUM_THREADS have to be in the environment before this import: FAISS reads
them once. That is for the `__main__` that builds, never for this module.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import faiss
import numpy as np

from retrieval_core.errors import DamagedArtifact
from retrieval_core.vectors import Float32Matrix

POINTS_PER_CENTROID = 39
"""Fewer training points than this a centroid give poor centroids, and FAISS warns about it."""

TRAINING_ITERATIONS = 10


def default_nlist(passage_count: int) -> int:
    """Square root of the corpus, but no more lists than its passages can train; at least 1."""
    return max(1, min(round(math.sqrt(passage_count)), passage_count // POINTS_PER_CENTROID))


def train_centroids(vectors: Float32Matrix, nlist: int, seed: int) -> Float32Matrix:
    """Spherical k-means over the corpus.

    vectors [n, d] float32, unit norm, n >= nlist. Returns [nlist, d] float32, unit norm. The same
    vectors, seed and number of OpenMP threads give the same centroids. ValueError for a nlist
    outside 1..n and for vectors that are not a finite matrix.
    """
    matrix = _checked(vectors)
    if not 1 <= nlist <= len(matrix):
        raise ValueError(f"nlist is {nlist}; it must lie between 1 and {len(matrix)} passages")
    kmeans = faiss.Kmeans(
        matrix.shape[1],
        nlist,
        niter=TRAINING_ITERATIONS,
        seed=seed,
        spherical=True,
        # Tiny corpora are trained on what there is; default_nlist already keeps the advised ratio.
        min_points_per_centroid=1,
    )
    kmeans.train(matrix)
    return _unit_rows(np.asarray(kmeans.centroids, np.float32), matrix)


def _unit_rows(centroids: Float32Matrix, vectors: Float32Matrix) -> Float32Matrix:
    # With nlist == n FAISS copies the points; rounding apart they are units already. A centroid
    # without any direction (opposite vectors cancelling out) is replaced by a passage.
    norms = np.linalg.norm(centroids, axis=1, keepdims=True)
    usable = np.isfinite(norms) & (norms > 1e-6)
    fallback = np.resize(vectors, centroids.shape)
    directed = np.where(usable, centroids, fallback)
    units: Float32Matrix = directed / np.linalg.norm(directed, axis=1, keepdims=True)
    return np.ascontiguousarray(units, np.float32)


def build_ivf(centroids: Float32Matrix, vectors: Float32Matrix) -> faiss.IndexIVFFlat:
    """IVF-Flat by inner product over given centroids, which shards of a release share.

    centroids [nlist, d], vectors [n, d], both float32 unit rows; n may be 0. Ids are row numbers.
    """
    centres = _checked(centroids)
    quantizer = faiss.IndexFlatIP(centres.shape[1])
    quantizer.add(centres)
    index = faiss.IndexIVFFlat(
        quantizer, centres.shape[1], len(centres), faiss.METRIC_INNER_PRODUCT
    )
    if len(vectors):
        index.add(_checked(vectors))
    return index


def build_flat(vectors: Float32Matrix) -> faiss.IndexFlatIP:
    """The whole corpus in one flat index: the truth that others are held against."""
    matrix = _checked(vectors)
    index = faiss.IndexFlatIP(matrix.shape[1])
    index.add(matrix)
    return index


def read_flat_vectors(path: Path) -> Float32Matrix:
    """The vectors [n, d] float32 of a flat index, by row. DamagedArtifact for another file."""
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise DamagedArtifact(f"{path}: FAISS cannot read it ({error})") from error
    if not isinstance(index, faiss.IndexFlatIP):
        raise DamagedArtifact(f"{path}: is a {type(index).__name__}, expected a flat index")
    return np.asarray(index.reconstruct_n(0, index.ntotal), np.float32)


def write_index(index: faiss.Index, path: Path) -> None:
    """Write the index to `path` and wait until it is on the disk."""
    faiss.write_index(index, str(path))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checked(vectors: Float32Matrix) -> Float32Matrix:
    if vectors.ndim != 2 or not vectors.size:
        raise ValueError(f"expected a matrix with rows, got shape {vectors.shape}")
    matrix = np.ascontiguousarray(vectors, np.float32)
    if not np.isfinite(matrix).all():
        raise ValueError("vectors have NaN or infinite elements")
    return matrix
