"""What a shard refuses, what it answers, and that searching changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from index_svc.shard import SearchLimits, Shard, ShardQuery
from retrieval_core.articles import article_key
from retrieval_core.errors import FailedPrecondition, InvalidInput
from retrieval_core.vectors import Float32Matrix, normalize_rows
from tests.support.memory_shard import MEMORY_FINGERPRINT, memory_shard

DIMENSIONS = 16
COUNT = 60
LIMITS = SearchLimits(k=50, nprobe=20, lanes=4, excluded_ids=10)


@pytest.fixture(scope="module")
def vectors() -> Float32Matrix:
    return normalize_rows(np.random.default_rng(9).normal(size=(COUNT, DIMENSIONS)))


@pytest.fixture(scope="module")
def shard(vectors: Float32Matrix) -> Shard:
    lanes = ["guide" if row % 3 else "news" for row in range(COUNT)]
    ids = 2 * np.arange(COUNT, dtype=np.int64)
    return memory_shard(vectors, ids, lanes, vectors[:6], nprobe=2, limits=LIMITS)


@pytest.fixture
def query(vectors: Float32Matrix) -> ShardQuery:
    return ShardQuery(vectors[20:21].copy(), 5)


def vector_of(values: object) -> Float32Matrix:
    return np.full((1, DIMENSIONS), values, np.float32)


WRONG_QUERIES: list[tuple[str, str, Callable[[ShardQuery], ShardQuery]]] = [
    ("query", "WRONG_DIMENSION", lambda q: replace(q, vector=q.vector[:, :-1])),
    ("query", "WRONG_DIMENSION", lambda q: replace(q, vector=q.vector[0])),
    ("query", "TOO_MANY_ROWS", lambda q: replace(q, vector=np.repeat(q.vector, 2, axis=0))),
    ("query", "EMPTY_VECTOR", lambda q: replace(q, vector=q.vector[:0])),
    ("query", "NOT_FINITE", lambda q: replace(q, vector=vector_of(np.nan))),
    ("query", "NOT_FINITE", lambda q: replace(q, vector=vector_of(np.inf))),
    ("query", "NOT_UNIT_NORM", lambda q: replace(q, vector=vector_of(0.0))),
    ("query", "NOT_UNIT_NORM", lambda q: replace(q, vector=1.001 * q.vector)),
    ("k", "OUT_OF_RANGE", lambda q: replace(q, k=0)),
    ("k", "OUT_OF_RANGE", lambda q: replace(q, k=51)),
    ("k", "OUT_OF_RANGE", lambda q: replace(q, k=10**9)),
    ("nprobe", "OUT_OF_RANGE", lambda q: replace(q, nprobe=21)),
    ("nprobe", "OUT_OF_RANGE", lambda q: replace(q, nprobe=-1)),
    ("lanes", "TOO_MANY", lambda q: replace(q, lanes=("a", "b", "c", "d", "e"))),
    ("excluded_passage_ids", "TOO_MANY", lambda q: replace(q, excluded_ids=np.arange(11))),
]


@pytest.mark.parametrize(("field", "reason", "change"), WRONG_QUERIES)
def test_what_can_never_be_answered_names_its_field(
    shard: Shard,
    query: ShardQuery,
    field: str,
    reason: str,
    change: Callable[[ShardQuery], ShardQuery],
) -> None:
    before = shard.search(query)
    with pytest.raises(InvalidInput) as caught:
        shard.search(change(query))
    assert caught.value.violations[0].field == field
    assert caught.value.reason == reason
    after = shard.search(query)
    np.testing.assert_array_equal(after.hits.passage_ids, before.hits.passage_ids)


def test_limits_themselves_are_allowed(shard: Shard, query: ShardQuery) -> None:
    most = replace(query, k=50, nprobe=20, excluded_ids=np.arange(10))
    assert len(shard.search(most).hits) == 50


def test_a_query_of_another_encoder_is_refused(shard: Shard, query: ShardQuery) -> None:
    assert len(shard.search(replace(query, fingerprint=MEMORY_FINGERPRINT)).hits) == 5
    with pytest.raises(FailedPrecondition) as caught:
        shard.search(replace(query, fingerprint="sha256:other"))
    assert caught.value.reason == "FINGERPRINT_MISMATCH"


def test_nprobe_is_the_default_the_asked_or_all_lists(shard: Shard, query: ShardQuery) -> None:
    assert shard.search(query).nprobe == 2
    assert shard.search(replace(query, nprobe=4)).nprobe == 4
    assert shard.search(replace(query, nprobe=20)).nprobe == 6
    assert shard.search(replace(query, nprobe=1, exact=True)).nprobe == 6


def test_no_more_hits_than_there_are_and_no_padding(shard: Shard, query: ShardQuery) -> None:
    excluded = np.array([0, 6, 12], np.int64)
    answer = shard.search(replace(query, k=50, exact=True, lanes=("news",), excluded_ids=excluded))
    assert sorted(answer.hits.passage_ids.tolist()) == list(range(18, 2 * COUNT, 6))
    few = shard.search(replace(query, k=50, nprobe=1))
    assert 0 < len(few.hits) < COUNT
    assert (few.hits.passage_ids >= 0).all()
    assert np.isfinite(few.hits.scores).all()


def test_unknown_lanes_are_told_and_hold_nothing(shard: Shard, query: ShardQuery) -> None:
    some = shard.search(replace(query, lanes=("news", "nowhere", "nowhere"), exact=True))
    assert some.unknown_lanes == ("nowhere",)
    assert len(some.hits) == 5
    none = shard.search(replace(query, lanes=("nowhere", ""), exact=True))
    assert none.unknown_lanes == ("nowhere", "")
    assert len(none.hits) == 0
    assert none.hits.projections is None


def test_excluding_everything_leaves_nothing(vectors: Float32Matrix) -> None:
    ids = np.arange(3, dtype=np.int64)
    shard = memory_shard(vectors[:3], ids, ["a"] * 3, vectors[:1])
    answer = shard.search(
        ShardQuery(
            vectors[:1], 3, excluded_ids=ids, include_passages=True, include_projections=True
        )
    )
    assert len(answer.hits) == 0
    assert answer.passages is not None
    assert answer.passages.texts == []
    assert answer.hits.projections is not None
    assert answer.hits.projections.shape == (0, 4)


def test_passages_are_parallel_to_the_hits(shard: Shard, query: ShardQuery) -> None:
    answer = shard.search(replace(query, include_passages=True, include_projections=True))
    assert answer.passages is not None
    ids = answer.hits.passage_ids.tolist()
    assert ids[0] == 40
    assert answer.passages.texts == [f"text of {passage_id}" for passage_id in ids]
    assert answer.passages.article_ids == [f"article-{passage_id // 3}" for passage_id in ids]
    assert answer.passages.lanes == ["guide" if (each // 2) % 3 else "news" for each in ids]
    assert answer.hits.positions.tolist() == [passage_id % 3 for passage_id in ids]
    assert answer.hits.article_keys.tolist() == [
        article_key(name) for name in answer.passages.article_ids
    ]
    assert answer.hits.projections is not None
    assert answer.hits.projections.shape == (5, 4)
    assert shard.search(query).passages is None
    assert shard.search(query).hits.projections is None


def test_an_empty_shard_answers_nothing(vectors: Float32Matrix) -> None:
    shard = memory_shard(vectors[:0], np.empty(0, np.int64), [], vectors[:2])
    shard.warm()
    answer = shard.search(ShardQuery(vectors[:1], 3, include_passages=True))
    assert len(answer.hits) == 0
    assert shard.facts.imbalance_ratio == 1.0


def test_warming_searches_within_the_limits(shard: Shard) -> None:
    shard.warm()


def test_callers_side_by_side_get_what_they_get_alone(shard: Shard, vectors: Float32Matrix) -> None:
    # Each caller brings another nprobe and other rows: nothing of one call may leak into another.
    def ask(number: int) -> ShardQuery:
        excluded = np.array([2 * number], np.int64)
        return ShardQuery(
            vectors[number : number + 1], 9, nprobe=1 + number % 6, excluded_ids=excluded
        )

    alone = [shard.search(ask(number)).hits.passage_ids.tolist() for number in range(COUNT)]
    together: dict[int, list[list[int]]] = {}
    start = threading.Barrier(4)

    def caller(name: int) -> None:
        start.wait()
        together[name] = [
            shard.search(ask(number)).hits.passage_ids.tolist()
            for _ in range(5)
            for number in range(COUNT)
        ]

    callers = [threading.Thread(target=caller, args=(name,)) for name in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert all(together[name] == alone * 5 for name in range(4))
