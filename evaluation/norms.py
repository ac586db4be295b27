"""Norms of all vectors of a release or a file, held against 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.gates import combine
from evaluation.index_files import IndexFile, read_index
from evaluation.intervals import Verdict
from evaluation.query_vectors import norm_deviations
from releases.bundle import Release
from releases.layout import FLAT_INDEX_NAME, IVF_INDEX_NAME, shard_paths
from retrieval_core.errors import InvalidInput, NotFound
from retrieval_core.vectors import UNIT_NORM_TOLERANCE, Float32Matrix

_ROWS_AT_ONCE = 65_536
_MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class NormReport:
    """Norms of one source; `worst` is NaN where an element is no number.

    `examples` are the first rows that are off by `tolerance` or more.
    """

    source: str
    vector_count: int
    mean_norm: float
    worst: float
    tolerance: float
    off_count: int
    examples: Sequence[int]
    verdict: Verdict


def check_norms(
    source: str, blocks: Iterator[Float32Matrix], tolerance: float = UNIT_NORM_TOLERANCE
) -> NormReport:
    """Hold every row of the blocks [n, d] against norm 1. No rows at all are INCONCLUSIVE."""
    count, norm_sum, worst = 0, 0.0, 0.0
    off: list[int] = []
    off_count = 0
    for block in blocks:
        deviations = norm_deviations(block)
        # A comparison with NaN is false, so this catches what is no number too.
        bad = np.flatnonzero(~(deviations < tolerance))
        off += (bad[: _MOST_EXAMPLES - len(off)] + count).tolist()
        off_count += len(bad)
        count += len(block)
        norm_sum += float(np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64)).sum())
        worst = float(np.maximum(worst, deviations.max(initial=0.0)))
    verdict = Verdict.FAIL if off_count else Verdict.PASS if count else Verdict.INCONCLUSIVE
    mean_norm = norm_sum / count if count else float("nan")
    return NormReport(source, count, mean_norm, worst, tolerance, off_count, off, verdict)


def check_index_norms(file: IndexFile, source: str, tolerance: float) -> NormReport:
    """Norms of all vectors of an index."""
    return check_norms(source, _index_blocks(file), tolerance)


def check_array_norms(path: Path, tolerance: float) -> NormReport:
    """Norms of a NumPy file of vectors [n, d]. InvalidInput for anything else."""
    return check_norms(path.name, iter([read_vectors(path)]), tolerance)


def check_release_norms(release: Release, tolerance: float) -> list[NormReport]:
    """Norms of the truth, of the whole index and of every shard's."""
    count = release.manifest.shard_count
    shards = [shard_paths(shard, count).index for shard in range(count)] if count > 1 else []
    names = [FLAT_INDEX_NAME, IVF_INDEX_NAME, *shards]
    release.verify(names)
    return [check_index_norms(read_index(release.path(name)), name, tolerance) for name in names]


def combined_verdict(reports: Sequence[NormReport]) -> Verdict:
    """The worst of all reports."""
    return combine(report.verdict for report in reports)


def read_vectors(path: Path) -> Float32Matrix:
    """The matrix [n, d] of a .npy file, or `vectors` of a .npz file, as float32."""
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file")
    try:
        loaded = np.load(path, allow_pickle=False)
        array = loaded["vectors"] if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise InvalidInput("vectors", f"{path}: {error}", reason="UNREADABLE_FILE") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise InvalidInput("vectors", f"{path}: is not a matrix of floating point numbers")
    return np.ascontiguousarray(array, np.float32)


def _index_blocks(file: IndexFile) -> Iterator[Float32Matrix]:
    for start in range(0, len(file), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(file)), dtype=np.int64)
        yield file.vectors_of(rows)
