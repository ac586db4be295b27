"""Where the queries of an index check come from: passages, a file of vectors, or a query set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoder_svc.encoder import Encoder
from evaluation.agreement import VectorQueries, given_queries, passage_queries
from evaluation.index_files import IndexFile
from evaluation.norms import check_norms, read_vectors
from evaluation.query_models import query_models_of
from evaluation.query_vectors import make_query_vectors
from evaluation.querysets import QuerySet, read_query_set
from evaluation.release_passages import ReleasePassages
from releases.bundle import Release
from retrieval_core.errors import InvalidInput
from retrieval_core.hits import Int64Array
from retrieval_core.vectors import DIMENSIONS, Float32Matrix


@dataclass(frozen=True, slots=True)
class QuerySource:
    """At most one of `vectors` and `query_set`; with neither, a sample of the passages."""

    count: int
    seed: int = 0
    vectors: Path | None = None
    query_set: Path | None = None
    query_model: str = ""


def load_queries(flat: IndexFile, source: QuerySource) -> VectorQueries:
    """The queries to ask. InvalidInput for sources that exclude each other or do not fit."""
    if source.vectors is not None and source.query_set is not None:
        raise InvalidInput("--query-set", "and a file of vectors exclude each other")
    if source.vectors is not None:
        return given_queries(_unit_vectors(source.vectors), source.count, source.vectors.name)
    if source.query_set is not None:
        return _queries_of_set(flat.release, source.query_set, source)
    return passage_queries(flat, source.count, source.seed)


def _unit_vectors(path: Path) -> Float32Matrix:
    vectors = read_vectors(path)
    if vectors.shape[1] != DIMENSIONS:
        raise InvalidInput("--queries", f"{path}: has {vectors.shape[1]} columns")
    if off := check_norms(path.name, iter([vectors])).off_count:
        raise InvalidInput("--queries", f"{path}: {off} vectors are not of unit norm")
    return vectors


def _queries_of_set(release: Release | None, folder: Path, source: QuerySource) -> VectorQueries:
    if release is None:
        raise InvalidInput("--query-set", "needs a FLAT index that lies in its release")
    query_model = query_models_of(release).find(source.query_model)
    passages = ReleasePassages.open(release)
    query_set = _shortened(read_query_set(folder), source.count)
    passages.check_fits(query_set)
    encoder = Encoder.load(release.encoder_folder())
    vectors = make_query_vectors(
        query_set, lambda texts: encoder.encode(texts).vectors, query_model.predict
    )
    return VectorQueries(
        vectors.vectors,
        [
            _rows(passages, [item.passage_id for item in query.context])
            for query in query_set.queries
        ],
        f"query set {query_set.name} ({query_set.task.value})",
        [_rows(passages, query.gold_ids) for query in query_set.queries],
    )


def _shortened(query_set: QuerySet, count: int) -> QuerySet:
    """A sample over the whole file: sets are in the order of articles."""
    if len(query_set.queries) <= count:
        return query_set
    chosen = np.unique(np.linspace(0, len(query_set.queries) - 1, count).round().astype(int))
    return QuerySet(
        query_set.name,
        query_set.task,
        query_set.corpus_digest,
        tuple(query_set.queries[place] for place in chosen),
    )


def _rows(passages: ReleasePassages, passage_ids: Sequence[int]) -> Int64Array:
    return np.array(passages.rows_of(passage_ids), np.int64)
