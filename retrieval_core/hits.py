"""Hits of shards and their merge into candidates, in an order that never depends on timing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from retrieval_core.errors import InternalError
from retrieval_core.vectors import Float16Matrix

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]
Int32Array = npt.NDArray[np.int32]
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HitList:
    """Hits as parallel arrays [n], best first: score descending, then passage id ascending.

    `projections` is [n, p] float16 or None; `article_keys` are equal for passages of one article.
    """

    passage_ids: Int64Array
    scores: Float32Array
    article_keys: UInt64Array
    positions: Int32Array
    projections: Float16Matrix | None = None

    def __len__(self) -> int:
        return len(self.passage_ids)

    @classmethod
    def empty(cls) -> Self:
        """A list without hits."""
        return cls(
            np.empty(0, np.int64),
            np.empty(0, np.float32),
            np.empty(0, np.uint64),
            np.empty(0, np.int32),
        )


@dataclass(frozen=True, slots=True)
class MergedHits:
    """Candidates of all shards: the merged list, and where each came from.

    `sources` [n] is the index of the hit list, `offsets` [n] the place within it.
    """

    hits: HitList
    sources: npt.NDArray[np.intp]
    offsets: npt.NDArray[np.intp]


def rank_order(scores: Float32Array, passage_ids: Int64Array) -> npt.NDArray[np.intp]:
    """Indexes that sort by score descending, then passage id. NaN raises InternalError."""
    if np.isnan(scores).any():
        raise InternalError("a score is not a number")
    return np.lexsort((passage_ids, -scores))


def merge_hit_lists(lists: Sequence[HitList], limit: int) -> MergedHits:
    """Merge shards' hits into the best `limit` candidates.

    The result is the same for every order of `lists`. A passage that several lists hold (a replica
    asked twice, an article that moves between shards) is kept once, with its best score.
    """
    if not lists:
        return MergedHits(HitList.empty(), np.empty(0, np.intp), np.empty(0, np.intp))
    passage_ids = np.concatenate([hits.passage_ids for hits in lists])
    scores = np.concatenate([hits.scores for hits in lists])
    order = rank_order(scores, passage_ids)
    # Looking for repetitions is cheaper than removing them, and there are hardly ever any.
    if len(set(passage_ids.tolist())) < len(passage_ids):
        order = order[_first_occurrences(passage_ids[order])]
    order = order[:limit]
    merged = HitList(
        passage_ids[order],
        scores[order],
        np.concatenate([hits.article_keys for hits in lists])[order],
        np.concatenate([hits.positions for hits in lists])[order],
        _merge_projections(lists, order),
    )
    ends = np.cumsum([len(hits) for hits in lists])
    sources = np.searchsorted(ends, order, side="right")
    starts = np.concatenate([[0], ends[:-1]])
    return MergedHits(merged, sources, order - starts[sources])


def _first_occurrences(values: Int64Array) -> npt.NDArray[np.intp]:
    _, first = np.unique(values, return_index=True)
    return np.sort(first)


def _merge_projections(
    lists: Sequence[HitList], order: npt.NDArray[np.intp]
) -> Float16Matrix | None:
    # Empty lists carry no projections and must not hide those of the others.
    parts = [hits.projections for hits in lists if len(hits)]
    present = [part for part in parts if part is not None]
    if not present or len(present) != len(parts):
        return None
    merged: Float16Matrix = np.concatenate(present)[order]
    return merged
