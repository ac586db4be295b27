"""What can be said of an answer without a truth."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.answer import Found
from gateway.answer_quality import near_duplicate_count, quality_of, unit_projections
from gateway.ports import EncodedQuery, RerankAnswer
from gateway.reranking import reranked_order, search_order
from retrieval_core.hits import HitList, merge_hit_lists
from retrieval_core.projection import project, projection_matrix
from retrieval_core.vectors import Float32Matrix, normalize_rows
from tests.support.gateway_ports import unit_vector

MATRIX = projection_matrix()


def vectors(count: int, seed: int = 0) -> Float32Matrix:
    return normalize_rows(np.random.default_rng(seed).standard_normal((count, 768)))


def close_to(vector: Float32Matrix, cosine: float, seed: int) -> Float32Matrix:
    """A unit vector [1, 768] at this cosine to another one."""
    other = vectors(1, seed)
    other = normalize_rows(other - (other @ vector.T) * vector)
    return normalize_rows(cosine * vector + np.sqrt(1 - cosine**2) * other)


def hits_over(rows: Float32Matrix) -> HitList:
    count = len(rows)
    return HitList(
        np.arange(count),
        np.linspace(0.9, 0.1, count, dtype=np.float32),
        np.arange(count, dtype=np.uint64),
        np.zeros(count, np.int32),
        project(rows, MATRIX),
    )


def found(hits: HitList, scores: list[float] | None = None) -> Found:
    ranking = search_order(hits)
    if scores is not None:
        ranking = reranked_order(hits, RerankAnswer(np.array(scores, np.float32)))
    return Found(EncodedQuery(unit_vector()), (), merge_hit_lists([hits], 1000), ranking)


@pytest.mark.parametrize("cosine", [1.0, 0.999, 0.995])
def test_near_duplicates_are_found_through_the_projection(cosine: float) -> None:
    rows = vectors(20)
    twins = [close_to(rows[index : index + 1], cosine, 100 + index) for index in range(8)]
    hits = hits_over(np.concatenate([rows, *twins]))
    assert quality_of(found(hits), 50).near_duplicate_count == 8


def test_related_passages_are_hardly_ever_taken_for_duplicates() -> None:
    # Passages of one article are often at 0.9; an estimate is allowed one slip in 200.
    slips = 0
    for seed in range(200):
        row = vectors(1, seed)
        hits = hits_over(np.concatenate([row, close_to(row, 0.9, 1000 + seed)]))
        slips += quality_of(found(hits), 50).near_duplicate_count
    assert slips <= 1


def test_a_passage_three_times_counts_twice() -> None:
    row = vectors(1)
    rows = unit_projections(project(np.concatenate([row, row, row]), MATRIX))
    assert near_duplicate_count(rows) == 2


def test_only_the_best_candidates_are_compared() -> None:
    rows = vectors(60)
    rows[59] = rows[0]
    quality = quality_of(found(hits_over(rows)), 50)
    assert (quality.candidate_count, quality.near_duplicate_count) == (50, 0)


def test_diversity_is_that_of_the_first_five_after_the_reranker() -> None:
    rows = vectors(10)
    rows[5:] = rows[5]
    same_first = [0.0] * 5 + [1.0] * 5
    assert quality_of(found(hits_over(rows), same_first), 50).top_cosine == pytest.approx(1.0)
    before = quality_of(found(hits_over(rows)), 50).top_cosine
    assert before is not None
    assert before < 0.3


def test_rank_1_changes_when_the_reranker_puts_another_one_first() -> None:
    hits = hits_over(vectors(3))
    kept = quality_of(found(hits, [3.0, 2.0, 1.0]), 50)
    changed = quality_of(found(hits, [1.0, 2.0, 3.0]), 50)
    not_reranked = quality_of(found(hits), 50)
    assert (kept.is_reranked, kept.rank1_changed) == (True, False)
    assert (changed.is_reranked, changed.rank1_changed) == (True, True)
    assert (not_reranked.is_reranked, not_reranked.rank1_changed) == (False, False)


def test_the_best_cosine_is_that_before_the_reranker() -> None:
    assert quality_of(found(hits_over(vectors(3)), [1, 2, 3]), 50).best_cosine == pytest.approx(0.9)


def test_an_empty_answer_and_one_without_projections_say_less() -> None:
    assert quality_of(found(HitList.empty()), 50).best_cosine is None
    hits = hits_over(vectors(3))
    bare = HitList(hits.passage_ids, hits.scores, hits.article_keys, hits.positions)
    quality = quality_of(found(bare), 50)
    assert (quality.candidate_count, quality.top_cosine) == (0, None)
    assert quality.best_cosine == pytest.approx(0.9)


def test_projections_of_nothing_are_near_nothing() -> None:
    assert near_duplicate_count(unit_projections(np.zeros((5, 64), np.float16))) == 0
