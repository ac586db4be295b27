"""Batches hold every answer once, never the context as a wrong answer, and each window once."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval_core.vectors import normalize_rows
from training.query_models.batches import Batch, BatchSettings, epoch_batches
from training.query_models.material import Passages
from training.query_models.windows import windows_of

ARTICLES = [0] * 9 + [1] * 6 + [2] * 5 + [3] * 4
SETTINGS = BatchSettings(size=4, article_groups=2, random_count=3, shortened_share=0.5)


@pytest.fixture
def passages() -> Passages:
    vectors = normalize_rows(np.random.default_rng(0).normal(size=(len(ARTICLES), 768)))
    windows = windows_of(ARTICLES, range(len(ARTICLES)))
    return Passages(vectors, np.array(ARTICLES), windows)


def row_of(passages: Passages, vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> int:
    return int(np.flatnonzero((passages.vectors == vector).all(axis=1))[0])


def batches_of(passages: Passages, settings: BatchSettings = SETTINGS) -> list[Batch]:
    return list(epoch_batches([passages], settings, np.random.default_rng(1)))


def test_every_window_comes_once_an_epoch(passages: Passages) -> None:
    golds = [
        row_of(passages, batch.negatives[answer])
        for batch in batches_of(passages)
        for answer in batch.answers
    ]
    assert sorted(golds) == passages.windows.golds.tolist()


def test_what_stands_in_the_window_is_marked_also_where_the_context_is_cut(
    passages: Passages,
) -> None:
    places = {gold: number for number, gold in enumerate(passages.windows.golds.tolist())}
    for batch in batches_of(passages):
        for number, answer in enumerate(batch.answers):
            window = passages.windows.contexts[places[row_of(passages, batch.negatives[answer])]]
            marked = [
                row_of(passages, batch.negatives[place])
                for place in np.flatnonzero(batch.own_context[number])
            ]
            assert marked == [row for row in window.tolist() if row >= 0]
            shown = int(batch.mask[number].sum())
            np.testing.assert_array_equal(
                batch.items[number, -shown:], passages.vectors[window[-shown:]]
            )


def test_all_others_of_the_article_are_there_and_marked_but_not_the_answer(
    passages: Passages,
) -> None:
    counts = np.bincount(ARTICLES)
    for batch in batches_of(passages):
        for number, answer in enumerate(batch.answers):
            article = ARTICLES[row_of(passages, batch.negatives[answer])]
            assert batch.same_article[number].sum() == counts[article] - 1
            assert not batch.same_article[number, answer]


def test_contexts_are_cut_only_where_that_is_wanted(passages: Passages) -> None:
    whole = BatchSettings(size=4, article_groups=2, random_count=0, shortened_share=0.0)
    shown = sorted(int(row.sum()) for batch in batches_of(passages, whole) for row in batch.mask)
    assert shown == sorted(passages.windows.lengths.tolist())
    cut = BatchSettings(size=4, article_groups=2, random_count=0, shortened_share=1.0)
    assert sum(int(batch.mask.sum()) for batch in batches_of(passages, cut)) < sum(shown)


def test_the_same_seed_gives_the_same_batches(passages: Passages) -> None:
    for one, two in zip(batches_of(passages), batches_of(passages), strict=True):
        np.testing.assert_array_equal(one.items, two.items)
        np.testing.assert_array_equal(one.negatives, two.negatives)
