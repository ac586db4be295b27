"""Rebuilds a FLAT truth: an exact index of a corpus's vectors, sealed by a file beside it.

<out>       the FAISS index, rows in the order of the corpus
<out>.json  format, sha256, counts, and the digest of the vectors it was made from
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.index_files import read_index
from evaluation.json_values import write_object
from evaluation.norms import check_norms, read_vectors
from index_svc.ivf import build_flat, write_index
from releases.bundle import Release
from releases.layout import FLAT_INDEX_NAME, IVF_INDEX_NAME
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import DIMENSIONS, Float32Matrix

FORMAT = "retrieval-flat-truth/1"


@dataclass(frozen=True, slots=True)
class FlatTruthReport:
    """What was written. `matches_release`: whether the release's own truth holds equal vectors."""

    format: str
    out: str
    source: str
    vector_count: int
    dimensions: int
    worst_norm_deviation: float
    vectors_digest: str
    sha256: str
    matches_release: bool | None


def corpus_vectors(path: Path) -> Float32Matrix:
    """Vectors [n, 768] of a .npz (array `vectors`) or .npy file, finite and of unit norm."""
    vectors = read_vectors(path)
    if vectors.shape[1] != DIMENSIONS or not len(vectors):
        raise InvalidInput(
            "--corpus", f"{path}: is of shape {vectors.shape}, must be [n, {DIMENSIONS}]"
        )
    report = check_norms(path.name, iter([vectors]))
    if report.off_count:
        raise InvalidInput(
            "--corpus",
            f"{path}: {report.off_count} vectors are not of unit norm, first rows "
            f"{list(report.examples)}",
            reason="NOT_UNIT_NORM",
        )
    return vectors


def release_vectors(release: Release) -> Float32Matrix:
    """Vectors of what is served: those of the release's IVF index, in the order of rows."""
    release.verify([IVF_INDEX_NAME])
    return read_index(release.path(IVF_INDEX_NAME)).vectors()


def rebuild_flat(
    vectors: Float32Matrix, source: str, out: Path, release: Release | None = None
) -> FlatTruthReport:
    """Build, write in one step, read back and compare. InvalidInput where `out` exists."""
    if out.exists():
        raise InvalidInput("--out", f"{out} exists; a truth is never overwritten")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(6)}")
    try:
        write_index(build_flat(vectors), temporary)
        written = read_index(temporary).vectors()
        if not np.array_equal(written, vectors):
            raise InvalidInput("--out", f"{out}: the disk returned other vectors than were written")
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    report = FlatTruthReport(
        format=FORMAT,
        out=out.name,
        source=source,
        vector_count=len(vectors),
        dimensions=int(vectors.shape[1]),
        worst_norm_deviation=check_norms(source, iter([vectors])).worst,
        vectors_digest=vectors_digest(vectors),
        sha256=sha256_of_file(out),
        matches_release=None if release is None else _matches(vectors, release),
    )
    write_object(out.with_name(out.name + ".json"), report)
    return report


def export_vectors(release: Release, out: Path) -> int:
    """Write the release's vectors and passage ids as .npz, the input of a later rebuild."""
    from evaluation.release_passages import ReleasePassages

    vectors = release_vectors(release)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as file:
        np.savez(file, vectors=vectors, passage_ids=ReleasePassages.open(release).ids)
    return len(vectors)


def vectors_digest(vectors: Float32Matrix) -> str:
    """`sha256:` and the digest over little-endian float32 elements, row after row."""
    return "sha256:" + hashlib.sha256(vectors.astype("<f4").tobytes()).hexdigest()


def _matches(vectors: Float32Matrix, release: Release) -> bool:
    release.verify([FLAT_INDEX_NAME])
    own = read_index(release.path(FLAT_INDEX_NAME)).vectors()
    return own.shape == vectors.shape and bool(np.array_equal(own, vectors))
