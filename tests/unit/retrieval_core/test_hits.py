"""The merge: complete, ordered, without repetition, and blind to the order of the shards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_core.errors import InternalError
from retrieval_core.hits import HitList, merge_hit_lists, rank_order

# Few distinct values, so that ties are common.
Scores = st.sampled_from([-1.0, -0.25, 0.0, 0.25, 0.5, 0.5000001, 1.0])


def hit_list(pairs: list[tuple[int, float]], *, projected: bool = True) -> HitList:
    """Hits (id, score) in the order a shard would give them."""
    ids = np.array([one for one, _ in pairs], np.int64)
    scores = np.array([score for _, score in pairs], np.float32)
    order = rank_order(scores, ids)
    ids, scores = ids[order], scores[order]
    projections = np.stack([ids, ids], axis=1).astype(np.float16) if projected else None
    return HitList(ids, scores, ids.astype(np.uint64) // 3, ids.astype(np.int32) % 3, projections)


@st.composite
def disjoint_shards(draw: st.DrawFn) -> list[HitList]:
    ids = draw(st.lists(st.integers(0, 2000), unique=True, max_size=60))
    shard_count = draw(st.integers(1, 5))
    scored = [(one, draw(Scores)) for one in ids]
    return [
        hit_list([pair for pair in scored if pair[0] % shard_count == shard])
        for shard in range(shard_count)
    ]


@st.composite
def overlapping_shards(draw: st.DrawFn) -> list[HitList]:
    pairs = st.dictionaries(st.integers(0, 15), Scores, max_size=10)
    return [hit_list(list(one.items())) for one in draw(st.lists(pairs, min_size=1, max_size=4))]


def pairs_of(hits: HitList) -> list[tuple[int, float]]:
    return list(zip(hits.passage_ids.tolist(), hits.scores.tolist(), strict=True))


@given(disjoint_shards(), st.integers(0, 70))
def test_merging_shards_equals_sorting_everything(shards: list[HitList], limit: int) -> None:
    everything = [pair for shard in shards for pair in pairs_of(shard)]
    expected = sorted(everything, key=lambda pair: (-pair[1], pair[0]))[:limit]
    assert pairs_of(merge_hit_lists(shards, limit).hits) == expected


@given(overlapping_shards(), st.integers(0, 20), st.randoms(use_true_random=False))
def test_the_order_of_the_shards_does_not_matter(
    shards: list[HitList], limit: int, random: object
) -> None:
    shuffled = list(shards)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert pairs_of(merge_hit_lists(shuffled, limit).hits) == pairs_of(
        merge_hit_lists(shards, limit).hits
    )


@given(overlapping_shards())
def test_a_passage_of_several_shards_is_kept_once_with_its_best_score(
    shards: list[HitList],
) -> None:
    best: dict[int, float] = {}
    for shard in shards:
        for one, score in pairs_of(shard):
            best[one] = max(score, best.get(one, score))
    merged = merge_hit_lists(shards, 1000).hits
    assert dict(pairs_of(merged)) == best
    assert len(merged) == len(best)


@given(overlapping_shards(), st.integers(0, 20))
def test_sources_and_offsets_lead_back_to_the_hit(shards: list[HitList], limit: int) -> None:
    merged = merge_hit_lists(shards, limit)
    for place in range(len(merged.hits)):
        source = shards[merged.sources[place]]
        offset = merged.offsets[place]
        assert source.passage_ids[offset] == merged.hits.passage_ids[place]
        assert source.scores[offset] == merged.hits.scores[place]


@given(disjoint_shards())
def test_every_column_follows_its_passage(shards: list[HitList]) -> None:
    hits = merge_hit_lists(shards, 40).hits
    assert np.array_equal(hits.article_keys, hits.passage_ids.astype(np.uint64) // 3)
    assert np.array_equal(hits.positions, hits.passage_ids.astype(np.int32) % 3)
    if len(hits):
        assert hits.projections is not None
        assert np.array_equal(hits.projections[:, 0], hits.passage_ids.astype(np.float16))


def test_no_list_and_empty_lists_merge_to_nothing() -> None:
    assert len(merge_hit_lists([], 10).hits) == 0
    assert len(merge_hit_lists([HitList.empty(), HitList.empty()], 10).hits) == 0


def test_an_empty_shard_does_not_hide_the_projections_of_the_others() -> None:
    merged = merge_hit_lists([HitList.empty(), hit_list([(4, 0.5)])], 10)
    assert merged.hits.projections is not None


def test_projections_are_dropped_when_one_shard_has_none() -> None:
    shards = [hit_list([(4, 0.5)]), hit_list([(5, 0.25)], projected=False)]
    assert merge_hit_lists(shards, 10).hits.projections is None


def test_equal_scores_are_ordered_by_passage_id() -> None:
    order = rank_order(np.array([0.5, 0.5, 0.75], np.float32), np.array([9, 3, 7], np.int64))
    assert order.tolist() == [2, 1, 0]


def test_a_score_that_is_no_number_is_an_error() -> None:
    with pytest.raises(InternalError):
        rank_order(np.array([0.5, np.nan], np.float32), np.array([1, 2], np.int64))
