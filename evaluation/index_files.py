"""Reads FAISS index files for evaluations, and searches them by the rule that shards follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from index_svc.parameters import flat_parameters, ivf_parameters
from index_svc.ranking import RankedRows, RowRanker
from releases.bundle import Release, open_release
from releases.manifest import MANIFEST_NAME
from releases.operating_point import measured_nprobe
from retrieval_core.errors import DamagedArtifact, InvalidInput, NotFound
from retrieval_core.hits import Int64Array
from retrieval_core.vectors import DIMENSIONS, Float32Matrix

DEFAULT_NPROBE = 8


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A loaded index whose ids are row numbers; `release` is the one it belongs to, if any."""

    path: Path
    index: faiss.Index
    release: Release | None

    @property
    def is_flat(self) -> bool:
        """Whether this is the truth rather than an approximation of it."""
        return isinstance(self.index, faiss.IndexFlatIP)

    @property
    def nlist(self) -> int:
        """Number of lists; a flat index is one."""
        return int(self.index.nlist) if isinstance(self.index, faiss.IndexIVFFlat) else 1

    @property
    def nprobe(self) -> int:
        """What a search scans unless it says otherwise."""
        stated = measured_nprobe(self.release) if self.release else DEFAULT_NPROBE
        return min(stated, self.nlist)

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def vectors(self) -> Float32Matrix:
        """All vectors [n, 768] float32, by row."""
        return np.asarray(self.index.reconstruct_n(0, len(self)), np.float32)

    def vectors_of(self, rows: Int64Array) -> Float32Matrix:
        """Vectors [len(rows), 768] float32 of these rows."""
        return np.asarray(self.index.reconstruct_batch(rows), np.float32)


class IndexSearch:
    """Searches one index: score descending, then passage id ascending."""

    def __init__(self, file: IndexFile, passage_ids: Int64Array | None = None) -> None:
        ids = np.arange(len(file), dtype=np.int64) if passage_ids is None else passage_ids
        if len(ids) != len(file):
            raise InvalidInput(
                "index", f"{file.path}: has {len(file)} vectors for {len(ids)} passages"
            )
        self._file = file
        self._ranker = RowRanker(file.index, ids)

    def rank(self, query: Float32Matrix, k: int, nprobe: int = 0) -> RankedRows:
        """The best k rows for query [1, 768]; nprobe 0 is the index's own."""
        return self.rank_each(query, k, nprobe)[0]

    def rank_each(self, queries: Float32Matrix, k: int, nprobe: int = 0) -> list[RankedRows]:
        """As rank for each row of queries [q, 768]."""
        if self._file.is_flat:
            parameters = flat_parameters(None)
        else:
            lists = min(nprobe or self._file.nprobe, self._file.nlist)
            parameters = ivf_parameters(lists, None)
        return self._ranker.rank_each(queries, k, len(self._file), parameters)


def read_index(path: Path) -> IndexFile:
    """Read a flat or IVF-Flat index of inner products.

    A file of a release is verified first. NotFound for a file that is not there, DamagedArtifact
    for one that is no such index.
    """
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file")
    release = _release_of(path)
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise DamagedArtifact(f"{path}: FAISS cannot read it ({error})") from error
    if not isinstance(index, faiss.IndexFlatIP | faiss.IndexIVFFlat):
        raise DamagedArtifact(f"{path}: is a {type(index).__name__}, not flat and not IVF-Flat")
    if index.metric_type != faiss.METRIC_INNER_PRODUCT or index.d != DIMENSIONS:
        raise DamagedArtifact(f"{path}: is not an index of inner products of {DIMENSIONS} elements")
    if not index.ntotal:
        raise DamagedArtifact(f"{path}: holds no vectors")
    if isinstance(index, faiss.IndexIVFFlat):
        index.make_direct_map(True)
    return IndexFile(path, index, release)


def check_same_rows(flat: IndexFile, other: IndexFile) -> None:
    """InvalidInput unless the one is flat, and both hold equally many vectors."""
    if not flat.is_flat:
        raise InvalidInput("flat", f"{flat.path}: is not a flat index")
    if len(flat) != len(other):
        raise InvalidInput(
            "index", f"{flat.path} has {len(flat)} vectors, {other.path} has {len(other)}"
        )


def _release_of(path: Path) -> Release | None:
    folder = path.resolve().parent
    if not (folder / MANIFEST_NAME).is_file():
        return None
    release = open_release(folder)
    release.verify([path.name])
    return release
