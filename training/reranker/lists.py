"""Candidate lists: what the search returns for a query, as features with the right one marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rerank_svc.candidates import QueryKind, RerankInput
from rerank_svc.features import FEATURE_NAMES, compute_features
from retrieval_core.hits import UInt64Array, rank_order
from retrieval_core.projection import project
from retrieval_core.vectors import Float16Matrix, Float32Matrix
from training.reranker.network import Floats, Golds, Mask

CANDIDATE_COUNT = 50

_QUERIES_AT_ONCE = 512

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Searchable:
    """The passages that a query may find; entry i of each array is the corpus row `rows[i]`."""

    rows: Rows
    vectors: Float32Matrix
    projections: Float16Matrix
    article_keys: UInt64Array

    @classmethod
    def of(
        cls,
        rows: Rows,
        vectors: Float32Matrix,
        article_keys: UInt64Array,
        projection: Float32Matrix,
    ) -> Searchable:
        """The passages `rows` of a corpus with vectors [n, 768] and keys [n]."""
        chosen = np.ascontiguousarray(vectors[rows])
        return cls(rows, chosen, project(chosen, projection), article_keys[rows])


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """A query as vectors, with the corpus rows of its answer and of what may not be found."""

    kind: QueryKind
    vector: Float32Matrix
    gold: int
    article: str
    context: Float32Matrix | None = None
    excluded: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CandidateLists:
    """Lists of one kind of query, candidates by cosine, best first.

    features [q, n, f]; mask [q, n] true where a candidate is; golds [q] its column, -1 where the
    search did not find it; articles [q] of the answers.
    """

    features: Floats
    mask: Mask
    golds: Golds
    articles: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.golds)

    def found(self) -> CandidateLists:
        """The lists that hold the right passage."""
        return self.at(np.flatnonzero(self.golds >= 0))

    def at(self, numbers: npt.NDArray[np.intp]) -> CandidateLists:
        """The lists of the given numbers."""
        return CandidateLists(
            self.features[numbers],
            self.mask[numbers],
            self.golds[numbers],
            tuple(self.articles[number] for number in numbers),
        )

    def joined(self, other: CandidateLists) -> CandidateLists:
        """These lists and then the others."""
        return CandidateLists(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.mask, other.mask]),
            np.concatenate([self.golds, other.golds]),
            self.articles + other.articles,
        )


def build_lists(
    queries: Sequence[VectorQuery],
    searchable: Searchable,
    projection: Float32Matrix,
    counts: Sequence[int],
) -> CandidateLists:
    """Search exactly for every query and compute its candidates' features.

    counts[i] is how many candidates query i keeps, at most CANDIDATE_COUNT.
    """
    shape = (len(queries), CANDIDATE_COUNT)
    features = np.zeros((*shape, len(FEATURE_NAMES)), np.float32)
    mask = np.zeros(shape, np.bool_)
    golds = np.full(len(queries), -1, np.int64)
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        block = queries[start : start + _QUERIES_AT_ONCE]
        cosines = np.concatenate([query.vector for query in block]) @ searchable.vectors.T
        for number, query in enumerate(block, start):
            found = _best(cosines[number - start], query, searchable, counts[number])
            given = _rerank_input(query, cosines[number - start], found, searchable)
            features[number, : len(found)] = compute_features(given, projection)
            mask[number, : len(found)] = True
            golds[number] = _column(searchable.rows[found], query.gold)
    return CandidateLists(features, mask, golds, tuple(query.article for query in queries))


def gold_ranks(queries: Sequence[VectorQuery], searchable: Searchable) -> Golds:
    """The rank [q] of each right passage by exact search from 1, or 0 beyond CANDIDATE_COUNT."""
    ranks = np.zeros(len(queries), np.int64)
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        block = queries[start : start + _QUERIES_AT_ONCE]
        cosines = np.concatenate([query.vector for query in block]) @ searchable.vectors.T
        for number, query in enumerate(block, start):
            found = _best(cosines[number - start], query, searchable, CANDIDATE_COUNT)
            ranks[number] = _column(searchable.rows[found], query.gold) + 1
    return ranks


def _best(
    cosines: Floats, query: VectorQuery, searchable: Searchable, count: int
) -> npt.NDArray[np.intp]:
    # The context is what the reader has already: it is taken out as the shards take it out.
    excluded = np.isin(searchable.rows, query.excluded)
    allowed = np.where(excluded, np.float32(-2.0), cosines)
    count = min(count, int((~excluded).sum()))
    nearest = np.argpartition(-allowed, count - 1)[:count]
    return nearest[rank_order(allowed[nearest], searchable.rows[nearest])]


def _rerank_input(
    query: VectorQuery, cosines: Floats, found: npt.NDArray[np.intp], searchable: Searchable
) -> RerankInput:
    return RerankInput(
        kind=query.kind,
        scores=cosines[found],
        article_keys=searchable.article_keys[found],
        projections=searchable.projections[found],
        query=query.vector,
        context=query.context,
    )


def _column(rows: Rows, gold: int) -> int:
    places = np.flatnonzero(rows == gold)
    return int(places[0]) if len(places) else -1
