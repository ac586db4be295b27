"""Asks a release in this process, with the code that serves: encoder, shards, merge, reranker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from encoder_svc.encoder import Encoder
from evaluation.index_files import IndexFile, IndexSearch, read_index
from evaluation.query_models import query_models_of
from evaluation.query_vectors import (
    Predict,
    QueryVectors,
    make_query_vectors,
    norm_deviations,
)
from evaluation.querysets import EvaluationQuery, QuerySet, Task
from evaluation.rankings import DEPTH, Asked, QueryOutcome, Ranking
from evaluation.release_passages import ReleasePassages
from evaluation.rerankers import served_reranker
from index_svc.shard import Shard, ShardQuery
from releases.bundle import Release
from releases.layout import FLAT_INDEX_NAME, PROJECTIONS_NAME
from releases.operating_point import measured_nprobe
from rerank_svc.candidates import QueryKind, RerankInput
from rerank_svc.model import RerankModel
from retrieval_core.articles import article_key
from retrieval_core.hits import HitList, Int64Array, merge_hit_lists, rank_order
from retrieval_core.vectors import Float32Matrix

_QUERIES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Options:
    """How to ask: nprobe 0 and query model "" are the release's.

    `index` takes the place of the served one.
    """

    nprobe: int = 0
    index: Path | None = None
    query_model: str = ""
    with_rerank: bool = True
    threads: int = 1


class CandidateSearch(Protocol):
    """Finds candidates the way that is to be measured."""

    def search(self, vector: Float32Matrix, excluded: Sequence[int]) -> HitList:
        """At most DEPTH candidates for vector [1, 768], with projections."""
        ...


@dataclass(frozen=True, slots=True)
class ShardSearch:
    """All shards of the release, merged as the gateway merges."""

    shards: Sequence[Shard]
    nprobe: int

    def search(self, vector: Float32Matrix, excluded: Sequence[int]) -> HitList:
        """See CandidateSearch.search."""
        query = ShardQuery(
            vector,
            DEPTH,
            nprobe=self.nprobe,
            excluded_ids=np.array(excluded, np.int64),
            include_projections=True,
        )
        return merge_hit_lists([shard.search(query).hits for shard in self.shards], DEPTH).hits


@dataclass(frozen=True, slots=True)
class FileSearch:
    """One index file whose rows are those of the release, e.g. a FLAT truth that was rebuilt."""

    index: IndexSearch
    nprobe: int
    passages: HitList
    """Of all rows; the scores say nothing."""

    def search(self, vector: Float32Matrix, excluded: Sequence[int]) -> HitList:
        """See CandidateSearch.search."""
        ranked = self.index.rank(vector, DEPTH + len(excluded), self.nprobe)
        kept = ~np.isin(self.passages.passage_ids[ranked.rows], list(excluded))
        rows, scores = ranked.rows[kept][:DEPTH], ranked.scores[kept][:DEPTH]
        projections = self.passages.projections
        return HitList(
            self.passages.passage_ids[rows],
            scores,
            self.passages.article_keys[rows],
            self.passages.positions[rows],
            None if projections is None else projections[rows],
        )


@dataclass(frozen=True, slots=True)
class InProcess:
    """A loaded release. `mode` and `ask` are those of rankings.Asker."""

    encoder: Encoder
    predict: Predict
    query_model: str
    truth: IndexSearch
    truth_ids: Int64Array
    candidates: CandidateSearch
    reranker: RerankModel | None
    mode: str = "in_process"

    @classmethod
    def load(cls, release: Release, passages: ReleasePassages, options: Options) -> Self:
        """Verify and load. InvalidInput for an unknown query model or an index of other rows."""
        query_model = query_models_of(release).find(options.query_model)
        release.verify([FLAT_INDEX_NAME])
        flat = read_index(release.path(FLAT_INDEX_NAME))
        return cls(
            encoder=Encoder.load(release.encoder_folder(), threads=options.threads),
            predict=query_model.predict,
            query_model=query_model.name,
            truth=IndexSearch(flat, passages.ids),
            truth_ids=passages.ids,
            candidates=_candidate_search(release, passages, options),
            reranker=served_reranker(release) if options.with_rerank else None,
        )

    def ask(self, query_set: QuerySet) -> Asked:
        """Encode all, then rank each query by truth, index and reranker."""
        vectors = make_query_vectors(
            query_set, lambda texts: self.encoder.encode(texts).vectors, self.predict
        )
        truths = self._truths(query_set.queries, vectors.vectors)
        outcomes = [
            self._outcome(query, vectors, number, truths[number])
            for number, query in enumerate(query_set.queries)
        ]
        return Asked(
            query_set,
            outcomes,
            query_model=self.query_model if query_set.task is Task.NEXT_PASSAGE else "",
            norm_deviation=float(norm_deviations(vectors.vectors).max()),
        )

    def _truths(self, queries: Sequence[EvaluationQuery], vectors: Float32Matrix) -> list[Ranking]:
        found: list[Ranking] = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            block = queries[start : start + _QUERIES_AT_ONCE]
            # So much deeper that the best DEPTH remain whatever is excluded.
            depth = DEPTH + max(len(query.context) for query in block)
            ranked = self.truth.rank_each(vectors[start : start + len(block)], depth)
            for query, rows in zip(block, ranked, strict=True):
                ids = self.truth_ids[rows.rows]
                kept = ~np.isin(ids, excluded_ids(query))
                found.append(_ranking(ids[kept], rows.scores[kept]))
        return found

    def _outcome(
        self, query: EvaluationQuery, vectors: QueryVectors, number: int, truth: Ranking
    ) -> QueryOutcome:
        vector = vectors.vectors[number : number + 1]
        found = self.candidates.search(vector, excluded_ids(query))
        search = _ranking(found.passage_ids, found.scores)
        return QueryOutcome(
            query, truth, search, self._rerank(found, vector, vectors.contexts[number])
        )

    def _rerank(
        self, found: HitList, vector: Float32Matrix, context: Float32Matrix | None
    ) -> Ranking | None:
        if self.reranker is None or found.projections is None or not len(found):
            return None
        given = RerankInput(
            kind=QueryKind.QUESTION if context is None else QueryKind.CONTEXT,
            scores=found.scores,
            article_keys=found.article_keys,
            projections=found.projections,
            query=vector,
            context=context,
        )
        scores = self.reranker.score(given).scores
        order = rank_order(scores, found.passage_ids)
        return _ranking(found.passage_ids[order], scores[order])


def excluded_ids(query: EvaluationQuery) -> list[int]:
    """The context: what the reader has already is no candidate."""
    return [item.passage_id for item in query.context]


def _candidate_search(
    release: Release, passages: ReleasePassages, options: Options
) -> CandidateSearch:
    nprobe = options.nprobe or measured_nprobe(release)
    if options.index is None:
        shards = [Shard.load(release, shard) for shard in range(release.manifest.shard_count)]
        return ShardSearch(shards, nprobe)
    file: IndexFile = read_index(options.index)
    release.verify([PROJECTIONS_NAME])
    rows = HitList(
        passages.ids,
        np.zeros(len(passages), np.float32),
        np.array([article_key(article_id) for article_id in passages.article_ids], np.uint64),
        np.array(passages.positions, np.int32),
        np.load(release.path(PROJECTIONS_NAME), allow_pickle=False),
    )
    return FileSearch(IndexSearch(file, passages.ids), nprobe, rows)


def _ranking(ids: Int64Array, scores: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Ranking:
    return Ranking(tuple(ids[:DEPTH].tolist()), tuple(scores[:DEPTH].tolist()))
