"""The one rule that turns an index into the best rows, used by shards and by the flat truth.

Score is the inner product summed in float64 and rounded to float32: the kernels of FAISS sum in
float32 in an order that depends on the index, so that equal vectors could get unequal scores. Order
is score descending, passage id ascending, also where equal scores straddle the cut at k.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_core.errors import InternalError
from retrieval_core.hits import Float32Array, Int64Array, rank_order
from retrieval_core.timing import Clock, monotonic_ns
from retrieval_core.vectors import Float32Matrix

_BLOCK_ROWS = 4096
_UNIT_ROUNDOFF = 2.0**-24


@dataclass(frozen=True, slots=True)
class RankedRows:
    """Row numbers and scores [n], best first; `search_ns` is the time inside FAISS.

    `widened` says that scores too close to the cut took a second scan.
    """

    rows: Int64Array
    scores: Float32Array
    search_ns: int = 0
    widened: bool = False


@dataclass(frozen=True, slots=True)
class _Scan:
    """A first scan: how it was asked, and whether it saw every row that is admitted."""

    parameters: faiss.SearchParameters
    wanted: int
    saw_all: bool
    elapsed_ns: int


class RowRanker:
    """Ranks rows of one index, which never changes.

    The index holds finite unit vectors [n, d] by inner product, its ids are row numbers, and it can
    reconstruct them (an IVF index needs its direct map). passage_ids [n] int64.
    """

    def __init__(
        self, index: faiss.Index, passage_ids: Int64Array, clock: Clock = monotonic_ns
    ) -> None:
        self._index = index
        self._passage_ids = passage_ids
        self._clock = clock
        self._error_bound = error_bound(index.d)

    def rank(
        self, query: Float32Matrix, k: int, available: int, parameters: faiss.SearchParameters
    ) -> RankedRows:
        """The best rows of those that `parameters` allow to be scanned.

        query [1, d] float32, finite, unit norm; `available` is the number of rows that the selector
        in `parameters` admits. Returns at most min(k, available) rows.
        """
        return self.rank_each(query, k, available, parameters)[0]

    def rank_each(
        self, queries: Float32Matrix, k: int, available: int, parameters: faiss.SearchParameters
    ) -> list[RankedRows]:
        """As rank for each row of queries [q, d]; `search_ns` is that of all of them together."""
        wanted = min(k, available)
        if wanted <= 0:
            return [RankedRows(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
        asked = min(wanted + _margin(wanted), available)
        started_ns = self._clock()
        seen, found = self._index.search(queries, asked, params=parameters)
        scan = _Scan(parameters, wanted, asked == available, self._clock() - started_ns)
        return [
            self._settle(queries[row : row + 1], seen[row], self._valid_rows(found[row]), scan)
            for row in range(len(queries))
        ]

    def score_rows(self, query: Float32Matrix, rows: Int64Array) -> Float32Array:
        """Inner products [n] of the query [1, d] with these rows, summed in float64."""
        wide = query[0].astype(np.float64)
        if len(rows) <= _BLOCK_ROWS:
            return self._score_block(wide, rows)
        starts = range(0, len(rows), _BLOCK_ROWS)
        return np.concatenate(
            [self._score_block(wide, rows[start : start + _BLOCK_ROWS]) for start in starts]
        )

    def _score_block(self, wide: npt.NDArray[np.float64], rows: Int64Array) -> Float32Array:
        vectors = self._index.reconstruct_batch(rows).astype(np.float64)
        # Each row is summed on its own, so its score does not depend on its neighbours.
        scores: Float32Array = np.vecdot(vectors, wide).astype(np.float32)
        return scores

    def _settle(
        self, query: Float32Matrix, seen: Float32Array, rows: Int64Array, scan: _Scan
    ) -> RankedRows:
        scores, best = self._best_of(query, rows, scan.wanted)
        # With fewer rows than asked for, the lists that were scanned hold no more.
        complete = scan.saw_all or len(rows) < len(seen)
        # Rows that were not seen score at most the last one seen, in the arithmetic of FAISS.
        if complete or float(seen[-1]) + self._error_bound < float(scores[-1]):
            return RankedRows(best, scores, scan.elapsed_ns)
        return self._settle_widened(query, float(scores[-1]), scan)

    def _settle_widened(self, query: Float32Matrix, cut_score: float, scan: _Scan) -> RankedRows:
        # Whatever could still reach the cut lies above this.
        threshold = cut_score - 2 * self._error_bound
        started_ns = self._clock()
        _, _, found = self._index.range_search(query, threshold, params=scan.parameters)
        elapsed_ns = scan.elapsed_ns + self._clock() - started_ns
        scores, best = self._best_of(query, self._valid_rows(found), scan.wanted)
        if len(best) < scan.wanted:
            raise InternalError("a wider scan found fewer rows")
        return RankedRows(best, scores, elapsed_ns, widened=True)

    def _best_of(
        self, query: Float32Matrix, rows: Int64Array, wanted: int
    ) -> tuple[Float32Array, Int64Array]:
        scores = self.score_rows(query, rows)
        order = rank_order(scores, self._passage_ids[rows])[:wanted]
        return scores[order], rows[order]

    def _valid_rows(self, found: Int64Array) -> Int64Array:
        # Read as unsigned, padding and rows that are not there are both too large.
        if not found.size or int(found.view(np.uint64).max()) < len(self._passage_ids):
            return found
        rows = found[found >= 0]
        if rows.size and int(rows.max()) >= len(self._passage_ids):
            raise InternalError("the index answered with a row that it does not have")
        return rows


def error_bound(dimensions: int) -> float:
    """How far a float32 inner product of unit vectors can lie from the true one.

    The textbook bound for any order of summation, with slack for norms off by 1e-5 and for the
    rounding of the float64 sum.
    """
    return 1.1 * (dimensions + 8) * _UNIT_ROUNDOFF


def _margin(wanted: int) -> int:
    # Extra rows make it likely that the first scan settles the cut.
    return 8 + wanted // 16
