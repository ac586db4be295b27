"""Exact search of any number of shards equals one flat index: ids, order and scores, to the bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_svc.shard import Shard, ShardQuery
from index_svc.truth import FlatHits, FlatTruth
from retrieval_core.hits import Int64Array, merge_hit_lists
from retrieval_core.vectors import Float32Matrix, normalize_rows
from tests.support.memory_shard import memory_shard, memory_shards

DIMENSIONS = 24
LANES = ("a", "b", "c")


@dataclass(frozen=True)
class Case:
    vectors: Float32Matrix
    passage_ids: Int64Array
    lanes: list[str]
    query: Float32Matrix
    k: int
    lanes_asked: tuple[str, ...]
    excluded: Int64Array

    def allowed(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        in_lane = np.isin(np.array(self.lanes), self.lanes_asked or LANES)
        return in_lane & ~np.isin(self.passage_ids, self.excluded)

    def shard_query(self, *, nprobe: int = 0) -> ShardQuery:
        return ShardQuery(
            self.query,
            self.k,
            nprobe=nprobe,
            exact=nprobe == 0,
            lanes=self.lanes_asked,
            excluded_ids=self.excluded,
        )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    count = draw(st.integers(1, 90))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Few distinct directions, made of few distinct numbers: ties within and across vectors.
    pool = generator.integers(-1, 2, size=(draw(st.integers(1, count)), DIMENSIONS)).astype(float)
    pool[:, 0] += 2.0
    if draw(st.booleans()):
        # Almost ties: closer than the arithmetic of FAISS can tell apart.
        pool = pool + 1e-8 * generator.normal(size=pool.shape)
    vectors = normalize_rows(pool)[generator.integers(0, len(pool), count)]
    query = draw(st.sampled_from(["stored", "pool-like", "random"]))
    directions = {
        "stored": vectors[:1].astype(float),
        "pool-like": generator.integers(0, 2, size=(1, DIMENSIONS)) + np.eye(1, DIMENSIONS),
        "random": generator.normal(size=(1, DIMENSIONS)),
    }
    passage_ids = generator.permutation(4 * count)[:count].astype(np.int64)
    excluded = draw(st.integers(0, count))
    return Case(
        vectors=vectors,
        passage_ids=passage_ids,
        lanes=[LANES[place] for place in generator.integers(0, len(LANES), count)],
        query=normalize_rows(directions[query]),
        k=draw(st.integers(1, 2 * count)),
        lanes_asked=tuple(draw(st.lists(st.sampled_from([*LANES, "unknown"]), max_size=3))),
        excluded=np.append(generator.permutation(passage_ids)[:excluded], 10**12),
    )


def some_centroids(case: Case) -> Float32Matrix:
    """Up to five; equal ones among them leave lists empty."""
    return case.vectors[:5]


def search_merged(shards: list[Shard], query: ShardQuery, k: int) -> FlatHits:
    hits = merge_hit_lists([shard.search(query).hits for shard in shards], k).hits
    return FlatHits(hits.passage_ids, hits.scores)


def counted_by_hand(case: Case) -> FlatHits:
    """The rule without FAISS."""
    rows = np.flatnonzero(case.allowed())
    wide = case.query[0].astype(np.float64)
    scores = np.vecdot(case.vectors[rows].astype(np.float64), wide).astype(np.float32)
    order = np.lexsort((case.passage_ids[rows], -scores))[: case.k]
    return FlatHits(case.passage_ids[rows][order], scores[order])


def assert_same(found: FlatHits, expected: FlatHits) -> None:
    np.testing.assert_array_equal(found.passage_ids, expected.passage_ids)
    np.testing.assert_array_equal(found.scores, expected.scores)


@given(case=cases())
@settings(max_examples=250, deadline=None)
def test_one_two_and_four_shards_equal_one_flat_index(case: Case) -> None:
    centroids = some_centroids(case)
    truth = FlatTruth.of_vectors(case.vectors, case.passage_ids)
    expected = truth.search(case.query, case.k, case.allowed())[0]
    assert_same(expected, counted_by_hand(case))
    for shard_count in (1, 2, 4):
        shards = memory_shards(case.vectors, case.passage_ids, case.lanes, centroids, shard_count)
        assert_same(search_merged(shards, case.shard_query(), case.k), expected)


@given(case=cases(), nprobe=st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_shards_at_some_nprobe_equal_one_index_at_that_nprobe(case: Case, nprobe: int) -> None:
    centroids = some_centroids(case)
    whole = memory_shard(case.vectors, case.passage_ids, case.lanes, centroids)
    hits = whole.search(case.shard_query(nprobe=nprobe)).hits
    shards = memory_shards(case.vectors, case.passage_ids, case.lanes, centroids, 4)
    found = search_merged(shards, case.shard_query(nprobe=nprobe), case.k)
    assert_same(found, FlatHits(hits.passage_ids, hits.scores))


def test_equal_scores_across_the_cut_go_by_passage_id() -> None:
    vectors = np.repeat(normalize_rows(np.ones((1, DIMENSIONS))), 500, axis=0)
    passage_ids = np.random.default_rng(0).permutation(500).astype(np.int64)
    shard = memory_shard(vectors, passage_ids, ["a"] * 500, vectors[:1])
    answer = shard.search(ShardQuery(vectors[:1], 7, exact=True))
    assert answer.widened
    assert answer.hits.passage_ids.tolist() == list(range(7))


def test_a_clear_cut_takes_one_scan() -> None:
    vectors = normalize_rows(np.random.default_rng(0).normal(size=(500, DIMENSIONS)))
    ids = np.arange(500, dtype=np.int64)
    shard = memory_shard(vectors, ids, ["a"] * 500, vectors[:4])
    assert not shard.search(ShardQuery(vectors[:1], 7, exact=True)).widened


def test_several_queries_at_once_are_ranked_as_they_are_one_by_one() -> None:
    # 64 queries take the matrix product of FAISS, one takes its row kernel: other roundings.
    vectors = normalize_rows(np.random.default_rng(3).normal(size=(700, 768)))
    truth = FlatTruth.of_vectors(vectors, np.arange(700, dtype=np.int64))
    queries = normalize_rows(np.random.default_rng(4).normal(size=(64, 768)))
    for row, together in enumerate(truth.search(queries, 20)):
        assert_same(together, truth.search(queries[row : row + 1], 20)[0])


def test_truth_refuses_ids_of_another_corpus() -> None:
    with pytest.raises(ValueError, match="3 vectors, but 4"):
        FlatTruth.of_vectors(np.eye(3, dtype=np.float32), np.arange(4))
