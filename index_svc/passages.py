"""The passages behind the rows: ids and article keys in memory, texts read from the mapped file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from releases.passages import open_passages
from retrieval_core.articles import article_key
from retrieval_core.errors import DamagedArtifact
from retrieval_core.hits import Int32Array, Int64Array, UInt64Array


@dataclass(frozen=True, slots=True)
class PassageColumns:
    """Readable part of some rows, parallel lists of equal length."""

    article_ids: list[str]
    lanes: list[str]
    texts: list[str]


class PassageTable:
    """All passages of a shard by row: passage_ids, article_keys, positions, lane_codes, each [n].

    lane_codes index into lane_names. Texts stay in the file; only the rows asked for are read.
    """

    def __init__(self, table: pa.Table) -> None:
        self.passage_ids: Int64Array = _resident(table["passage_id"], np.int64)
        self.positions: Int32Array = _resident(table["position"], np.int32)
        self.lane_names, self.lane_codes = _encoded(table["lane"])
        self._article_ids, self._article_codes = _encoded(table["article_id"])
        keys = np.array([article_key(name) for name in self._article_ids], np.uint64)
        self.article_keys: UInt64Array = keys[self._article_codes]
        self._texts = _MappedTexts(table["text"])

    @classmethod
    def open(cls, path: Path) -> PassageTable:
        """Map a verified file and read it through once. DamagedArtifact names what is wrong."""
        table = open_passages(path)
        try:
            table.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DamagedArtifact(f"{path}: {error}") from error
        for name in table.column_names:
            if table[name].null_count:
                raise DamagedArtifact(f"{path}: column {name} has empty places")
        return cls(table)

    def __len__(self) -> int:
        return len(self.passage_ids)

    def columns(self, rows: Int64Array) -> PassageColumns:
        """Article ids, lanes and texts of these rows, in their order."""
        article_ids = [self._article_ids[code] for code in self._article_codes[rows].tolist()]
        lanes = [self.lane_names[code] for code in self.lane_codes[rows].tolist()]
        return PassageColumns(article_ids, lanes, self._texts.read(rows))


class _MappedTexts:
    """Strings of a mapped column by row; Arrow's own take copies whole chunks for a few rows."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        offsets = [_offsets_of(chunk) for chunk in chunks]
        self._first_rows = np.cumsum([len(chunk) for chunk in chunks], dtype=np.int64)
        self._starts = _joined([part[:-1] for part in offsets])
        self._ends = _joined([part[1:] for part in offsets])
        self._bytes = [memoryview(chunk.buffers()[2] or b"") for chunk in chunks]

    def read(self, rows: Int64Array) -> list[str]:
        chunks = np.searchsorted(self._first_rows, rows, side="right").tolist()
        starts = self._starts[rows].tolist()
        ends = self._ends[rows].tolist()
        texts = self._bytes
        return [
            str(texts[chunk][start:end], "utf-8")
            for chunk, start, end in zip(chunks, starts, ends, strict=True)
        ]


def _offsets_of(chunk: pa.StringArray) -> Int32Array:
    offsets = np.frombuffer(chunk.buffers()[1], np.int32)
    return offsets[chunk.offset : chunk.offset + len(chunk) + 1]


def _joined(parts: list[Int32Array]) -> Int32Array:
    return np.concatenate(parts) if parts else np.empty(0, np.int32)


def _resident(column: pa.ChunkedArray, dtype: type[np.integer[Any]]) -> npt.NDArray[Any]:
    # A copy: hit lists are gathered from it, and a mapped page may have to be read first.
    return np.array(column.to_numpy(), dtype)


def _encoded(column: pa.ChunkedArray) -> tuple[list[str], Int32Array]:
    """Distinct values sorted, and the code of every row."""
    if not len(column):
        return [], np.empty(0, np.int32)
    joined = column.dictionary_encode().combine_chunks()
    names = joined.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    new_codes = np.empty(len(names), np.int32)
    new_codes[order] = np.arange(len(names), dtype=np.int32)
    return [names[place] for place in order], new_codes[joined.indices.to_numpy()]
