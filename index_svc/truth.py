"""The flat truth: one index over the whole corpus, ranked by the rule that shards follow."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from index_svc.ivf import build_flat
from index_svc.parameters import flat_parameters
from index_svc.ranking import RowRanker
from retrieval_core.hits import Float32Array, Int64Array
from retrieval_core.vectors import Float32Matrix

RowMask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FlatHits:
    """Passages of one query: passage_ids and scores [min(k, allowed rows)], best first."""

    passage_ids: Int64Array
    scores: Float32Array


class FlatTruth:
    """Best passages over all vectors: what exact search of any number of shards has to equal.

    The index holds finite unit vectors [n, d] by inner product; passage_ids [n] are by row.
    """

    def __init__(self, index: faiss.IndexFlatIP, passage_ids: Int64Array) -> None:
        if index.ntotal != len(passage_ids):
            raise ValueError(f"{index.ntotal} vectors, but {len(passage_ids)} passage ids")
        self._passage_ids = passage_ids
        self._ranker = RowRanker(index, passage_ids)

    @classmethod
    def of_vectors(cls, vectors: Float32Matrix, passage_ids: Int64Array) -> FlatTruth:
        """Over vectors [n, d] float32, unit rows."""
        return cls(build_flat(vectors), passage_ids)

    def search(
        self, queries: Float32Matrix, k: int, allowed: RowMask | None = None
    ) -> list[FlatHits]:
        """For each row of queries [q, d] (float32, finite, unit norm) the best passages.

        allowed [n] marks the rows that may be returned; None allows all.
        """
        if allowed is None:
            available, bitmap = len(self._passage_ids), None
        else:
            available, bitmap = int(allowed.sum()), np.packbits(allowed, bitorder="little")
        ranked = self._ranker.rank_each(queries, k, available, flat_parameters(bitmap))
        return [FlatHits(self._passage_ids[each.rows], each.scores) for each in ranked]
