"""Measures against values worked out by hand, and against their definitions on random rankings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.measures import (
    all_measures,
    contain_at,
    judge_gold_ranks,
    judge_rankings,
    ndcg_at,
    near_duplicate_share,
    recall_at,
    reciprocal_rank,
)

# Query 0: relevant 1 at rank 2. Query 1: relevant 2 and 3 at ranks 1 and 3, 9 never.
# Query 2: nothing found.
RANKINGS = [[5, 1, 7], [2, 8, 3, 4], [6]]
GOLD = [{1}, {2, 3, 9}, {0}]


def test_recall_counts_every_relevant_passage() -> None:
    judged = judge_rankings(RANKINGS, GOLD, depth=4)
    assert recall_at(judged, 1).tolist() == pytest.approx([0.0, 1 / 3, 0.0])
    assert recall_at(judged, 3).tolist() == pytest.approx([1.0, 2 / 3, 0.0])


def test_contain_asks_for_any_relevant_passage() -> None:
    judged = judge_rankings(RANKINGS, GOLD, depth=4)
    assert contain_at(judged, 1).tolist() == [0.0, 1.0, 0.0]
    assert contain_at(judged, 4).tolist() == [1.0, 1.0, 0.0]


def test_reciprocal_rank_looks_at_the_first_relevant_passage_within_k() -> None:
    judged = judge_rankings(RANKINGS, GOLD, depth=4)
    assert reciprocal_rank(judged).tolist() == [0.5, 1.0, 0.0]
    assert reciprocal_rank(judged, 1).tolist() == [0.0, 1.0, 0.0]


def test_ndcg_divides_by_the_best_possible_order() -> None:
    judged = judge_rankings(RANKINGS, GOLD, depth=4)
    ideal_of_three = 1 + 1 / math.log2(3) + 1 / 2
    expected = [1 / math.log2(3), (1 + 1 / 2) / ideal_of_three, 0.0]
    assert ndcg_at(judged, 4).tolist() == pytest.approx(expected)
    # At k = 1 only one relevant passage can be gained, so query 1 is perfect.
    assert ndcg_at(judged, 1).tolist() == [0.0, 1.0, 0.0]


def test_reports_hold_every_measure_once() -> None:
    measures = all_measures(judge_gold_ranks(np.array([1, 6, 0])))
    assert {name: round(float(values.mean()), 4) for name, values in measures.items()} == {
        "R@1": 0.3333,
        "R@3": 0.3333,
        "R@5": 0.3333,
        "R@10": 0.6667,
        "R@20": 0.6667,
        "R@50": 0.6667,
        "MRR": round((1 + 1 / 6) / 3, 4),
        "MRR@10": round((1 + 1 / 6) / 3, 4),
        "nDCG@10": round((1 + 1 / math.log2(7)) / 3, 4),
        "Contain@20": 0.6667,
        "Contain@50": 0.6667,
    }


@given(st.lists(st.integers(0, 70), min_size=1, max_size=30), st.integers(1, 50))
def test_one_gold_rank_follows_the_definitions(ranks: list[int], k: int) -> None:
    judged = judge_gold_ranks(np.array(ranks))
    inside = [rank if 1 <= rank <= k else 0 for rank in ranks]
    assert recall_at(judged, k).tolist() == [float(rank > 0) for rank in inside]
    assert contain_at(judged, k).tolist() == recall_at(judged, k).tolist()
    assert reciprocal_rank(judged, k).tolist() == [1 / rank if rank else 0.0 for rank in inside]
    expected = [1 / math.log2(rank + 1) if rank else 0.0 for rank in inside]
    assert ndcg_at(judged, k).tolist() == pytest.approx(expected)


@given(st.data())
def test_a_better_place_never_lowers_a_measure(data: st.DataObject) -> None:
    ranking = data.draw(st.permutations(range(60)))
    gold = data.draw(st.sets(st.integers(0, 59), min_size=1, max_size=6))
    places = [place for place in range(1, 60) if ranking[place] in gold]
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    better = list(ranking)
    better[place - 1], better[place] = better[place], better[place - 1]
    before = all_measures(judge_rankings([ranking], [gold]))
    after = all_measures(judge_rankings([better], [gold]))
    for name, values in before.items():
        assert 0.0 <= values[0] <= 1.0 + 1e-12, name
        assert after[name][0] >= values[0] - 1e-12, name


def test_near_duplicates_are_counted_below_what_they_repeat() -> None:
    angle = math.acos(0.99)
    vectors = np.array(
        [[1, 0], [0, 1], [math.cos(angle), math.sin(angle)], [1, 0]], dtype=np.float32
    )
    assert near_duplicate_share(vectors) == 0.5
    assert near_duplicate_share(vectors, cosine=0.995) == 0.25
    assert near_duplicate_share(np.empty((0, 4), np.float32)) == 0.0


@pytest.mark.parametrize(
    ("rankings", "gold", "message"),
    [
        ([[1], [2]], [{1}], "2 rankings"),
        ([[1]], [set()], "no relevant"),
        ([[1, 1]], [{1}], "twice"),
    ],
)
def test_impossible_judgements_are_refused(
    rankings: list[list[int]], gold: list[set[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        judge_rankings(rankings, gold)


@pytest.mark.parametrize("k", [0, 51])
def test_depths_that_were_not_kept_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match="ranks 1 to 50"):
        recall_at(judge_gold_ranks(np.array([1])), k)
