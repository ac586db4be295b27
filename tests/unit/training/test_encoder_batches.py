"""Token rows are cut and padded exactly, and batches hold the rows that they should."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from training.encoder.batches import (
    article_batches,
    at_most_each,
    context_weights,
    drop_tokens,
    endless_batches,
    local_following,
)
from training.encoder.tokens import END_ID, TokenRows


@pytest.fixture
def tokens() -> TokenRows:
    return TokenRows(np.arange(10, 19, dtype=np.int32), np.array([0, 3, 4, 9]))


def test_flat_cuts_rows_and_says_where_they_start(tokens: TokenRows) -> None:
    ids, offsets = tokens.flat(np.array([2, 0]), limit=2)
    assert ids.tolist() == [14, END_ID, 10, END_ID]
    assert offsets.tolist() == [0, 2]


def test_flat_leaves_a_row_that_fits_as_it_is(tokens: TokenRows) -> None:
    ids, _ = tokens.flat(np.array([0, 1]), limit=3)
    assert ids.tolist() == [10, 11, 12, 13]
    assert tokens.ids.tolist() == list(range(10, 19))


def test_padded_fills_with_zero_and_masks_it(tokens: TokenRows) -> None:
    ids, mask = tokens.padded(np.array([1, 2]), limit=4)
    assert ids.tolist() == [[13, 0, 0, 0], [14, 15, 16, END_ID]]
    assert mask.tolist() == [[1, 0, 0, 0], [1, 1, 1, 1]]


def test_article_batches_hold_each_row_at_most_once_and_runs_of_one_article() -> None:
    articles = np.repeat(np.arange(6), [5, 9, 4, 8, 1, 7])
    batches = list(article_batches(articles, 8, 4, np.random.default_rng(1)))
    rows = np.concatenate(batches)
    assert [len(batch) for batch in batches] == [8] * (len(articles) // 8)
    assert len(set(rows.tolist())) == len(rows)
    changes = sum(articles[a] != articles[b] for a, b in itertools.pairwise(rows))
    assert changes < len(rows) / 2


def test_article_batches_differ_between_passes_and_repeat_with_the_seed() -> None:
    articles = np.repeat(np.arange(10), 10)
    first, again = np.random.default_rng(3), np.random.default_rng(3)
    passes = [np.concatenate(list(article_batches(articles, 10, 4, first))) for _ in range(2)]
    repeated = np.concatenate(list(article_batches(articles, 10, 4, again)))
    assert passes[0].tolist() == repeated.tolist()
    assert passes[0].tolist() != passes[1].tolist()


def test_endless_batches_go_on_after_a_pass() -> None:
    batches = endless_batches(5, 2, np.random.default_rng(0))
    taken = [next(batches) for _ in range(6)]
    assert all(len(set(batch.tolist())) == 2 for batch in taken)
    assert set(np.concatenate(taken).tolist()) <= set(range(5))


def test_dropping_keeps_the_first_token_of_every_row() -> None:
    ids = np.arange(1000, dtype=np.int32)
    offsets = np.arange(0, 1000, 10)
    kept, starts = drop_tokens(ids, offsets, 0.5, np.random.default_rng(2))
    assert kept[starts].tolist() == ids[offsets].tolist()
    assert 450 < len(kept) < 650


def test_following_is_named_by_its_place_in_the_batch() -> None:
    following = np.array([1, 2, -1, 4, -1])
    assert local_following(following, np.array([1, 3, 2, 0])).tolist() == [2, -1, -1, 0]


def test_at_most_each_keeps_all_of_the_few_and_some_of_the_many() -> None:
    places = np.array([0, 0, 0, 0, 1, 3, 3])
    kept = at_most_each(places, 2, np.random.default_rng(0))
    assert places[kept].tolist() == [0, 0, 1, 3, 3]
    other = at_most_each(places, 2, np.random.default_rng(4))
    assert kept.tolist() != other.tolist()


def test_a_context_is_the_nearest_rows_before_and_weighs_the_last_most() -> None:
    following = np.array([1, 2, 3, -1, 5, -1])
    weights, targets = context_weights(following, longest=2, factor=0.5)
    assert targets.tolist() == [1, 2, 3, 5]
    assert weights.tolist() == [
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.5, 1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.5, 1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    ]


def test_a_batch_without_order_has_no_contexts() -> None:
    weights, targets = context_weights(np.array([-1, -1]), longest=5, factor=0.5)
    assert weights.shape == (0, 2)
    assert len(targets) == 0
