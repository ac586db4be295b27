"""Reads one shard's files and holds them against the manifest and each other.

A checksum says that a file is what was built; these checks say that what was built fits together.
Whatever does not raises DamagedArtifact naming the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from index_svc.passages import PassageTable
from releases.bundle import Release
from releases.manifest import Manifest
from retrieval_core.errors import DamagedArtifact, InternalError
from retrieval_core.hits import Int64Array
from retrieval_core.vectors import UNIT_NORM_TOLERANCE, Float16Matrix, Float32Matrix

_FLOAT32_BYTES = 4
_FLOAT32_SLACK = 1e-6
"""Norms are summed in float32 here."""


@dataclass(frozen=True, slots=True)
class ShardArtifacts:
    """What a shard is made of; row i of all three is the same passage.

    index: IVF-Flat by inner product with its direct map; projections [n, p] float16.
    """

    index: faiss.IndexIVFFlat
    passages: PassageTable
    projections: Float16Matrix


def load_artifacts(release: Release, shard: int) -> ShardArtifacts:
    """Read and check the files of one shard; nothing is parsed before its checksum agrees.

    NotFound for a shard that the release does not have.
    """
    files = release.shard_files(shard)
    manifest = release.manifest
    index = _load_index(files.index, manifest)
    passages = PassageTable.open(files.passages)
    projections = _load_projections(files.projections, manifest.projection_dimensions)
    counts = {
        files.index: index.ntotal,
        files.passages: len(passages),
        files.projections: len(projections),
    }
    _check_counts(counts, manifest)
    _check_passages(passages, files.passages, manifest, shard)
    return ShardArtifacts(index, passages, projections)


def list_vectors(index: faiss.IndexIVFFlat) -> Iterator[tuple[Int64Array, Float32Matrix]]:
    """Rows [m] and vectors [m, d] of every list that is not empty, as views of the index."""
    lists = _inverted_lists(index)
    for number in range(index.nlist):
        size = lists.list_size(number)
        if size:
            rows = faiss.rev_swig_ptr(lists.get_ids(number), size)
            codes = faiss.rev_swig_ptr(lists.get_codes(number), size * lists.code_size)
            yield rows, codes.view(np.float32).reshape(size, index.d)


def imbalance_ratio(index: faiss.IndexIVFFlat) -> float:
    """Largest list over the mean list; 1 is perfectly balanced, and so is an empty index."""
    sizes = list_sizes(index)
    return max(sizes) * len(sizes) / sum(sizes) if sum(sizes) else 1.0


def list_sizes(index: faiss.IndexIVFFlat) -> list[int]:
    """Vectors in every list, by its number."""
    lists = _inverted_lists(index)
    return [int(lists.list_size(number)) for number in range(index.nlist)]


def _inverted_lists(index: faiss.IndexIVFFlat) -> faiss.InvertedLists:
    if index.invlists is None:
        raise InternalError("the index has no inverted lists")
    return index.invlists


def _load_index(path: Path, manifest: Manifest) -> faiss.IndexIVFFlat:
    try:
        # Read, not mapped: the lists stay resident, and no page fault waits inside a search.
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise DamagedArtifact(f"{path}: FAISS cannot read it ({error})") from error
    if not isinstance(index, faiss.IndexIVFFlat):
        raise DamagedArtifact(f"{path}: is a {type(index).__name__}, expected IVF-Flat")
    _check_shape(index, path, manifest)
    _check_rows(index, path)
    index.make_direct_map(True)
    return index


def _check_shape(index: faiss.IndexIVFFlat, path: Path, manifest: Manifest) -> None:
    quantizer = faiss.downcast_index(index.quantizer)
    lists = _inverted_lists(index)
    facts = (
        ("dimensions", index.d, manifest.dimensions),
        ("dimensions of the quantiser", quantizer.d, manifest.dimensions),
        ("metric", index.metric_type, faiss.METRIC_INNER_PRODUCT),
        ("metric of the quantiser", quantizer.metric_type, faiss.METRIC_INNER_PRODUCT),
        ("nlist", index.nlist, manifest.nlist),
        ("centroids", quantizer.ntotal, manifest.nlist),
        ("inverted lists", lists.nlist, manifest.nlist),
        ("bytes a vector", lists.code_size, manifest.dimensions * _FLOAT32_BYTES),
        ("trained", bool(index.is_trained), True),
    )
    for name, found, expected in facts:
        if found != expected:
            raise DamagedArtifact(f"{path}: {name} is {found}, expected {expected}")
    if not np.isfinite(quantizer.reconstruct_n(0, quantizer.ntotal)).all():
        raise DamagedArtifact(f"{path}: a centroid is not finite")


def _check_rows(index: faiss.IndexIVFFlat, path: Path) -> None:
    if sum(list_sizes(index)) != index.ntotal:
        raise DamagedArtifact(f"{path}: its lists do not hold {index.ntotal} rows")
    seen = np.zeros(index.ntotal, np.bool_)
    for rows, vectors in list_vectors(index):
        if int(rows.min()) < 0 or int(rows.max()) >= index.ntotal:
            raise DamagedArtifact(f"{path}: a row number is outside 0..{index.ntotal - 1}")
        seen[rows] = True
        norms = np.sqrt(np.vecdot(vectors, vectors))
        # A comparison with NaN is false, so this catches elements that are not finite too.
        if not (np.abs(norms - 1.0) < UNIT_NORM_TOLERANCE + _FLOAT32_SLACK).all():
            raise DamagedArtifact(f"{path}: a vector is not of unit norm")
    if not seen.all():
        raise DamagedArtifact(f"{path}: a row is held twice")


def _load_projections(path: Path, dimensions: int) -> Float16Matrix:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedArtifact(f"{path}: is not an array file ({error})") from error
    if not isinstance(loaded, np.ndarray) or loaded.dtype != np.float16 or loaded.ndim != 2:
        raise DamagedArtifact(f"{path}: is not a float16 matrix")
    if loaded.shape[1] != dimensions:
        raise DamagedArtifact(f"{path}: has {loaded.shape[1]} columns, expected {dimensions}")
    if not np.isfinite(loaded).all():
        raise DamagedArtifact(f"{path}: has NaN or infinite elements")
    projections: Float16Matrix = np.ascontiguousarray(loaded)
    return projections


def _check_counts(counts: dict[Path, int], manifest: Manifest) -> None:
    if len(set(counts.values())) > 1:
        stated = ", ".join(f"{path} has {count}" for path, count in counts.items())
        raise DamagedArtifact(f"rows differ: {stated}")
    for path, count in counts.items():
        whole = manifest.shard_count == 1
        if count > manifest.passage_count or (whole and count != manifest.passage_count):
            raise DamagedArtifact(
                f"{path}: has {count} rows of a release of {manifest.passage_count} passages"
            )


def _check_passages(passages: PassageTable, path: Path, manifest: Manifest, shard: int) -> None:
    ids = passages.passage_ids
    if (ids < 0).any() or len(np.unique(ids)) != len(ids):
        raise DamagedArtifact(f"{path}: a passage id is negative or not unique")
    if (ids % manifest.shard_count != shard).any():
        raise DamagedArtifact(f"{path}: a passage belongs to another shard than {shard}")
    if (passages.positions < 0).any():
        raise DamagedArtifact(f"{path}: a position is negative")
    strange = sorted(set(passages.lane_names) - set(manifest.lanes))
    if strange:
        raise DamagedArtifact(f"{path}: has lanes that the manifest does not list: {strange[:3]}")
