"""Batches of windows with the passages that their answers are to be told from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from encoder_svc.query_models import MAX_CONTEXT_ITEMS
from retrieval_core.vectors import Float32Matrix
from training.query_models.material import Passages
from training.query_models.windows import PADDING, Rows, Windows, padded_vectors


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How batches are made.

    article_groups: the articles are dealt into so many groups anew in each epoch; a batch's
    answers are to be told from all passages of its group, so that every passage of the same
    article is among them. random_count: passages of other groups beside them. shortened_share: of
    the contexts, cut to a random length.
    """

    size: int = 256
    article_groups: int = 4
    random_count: int = 1000
    shortened_share: float = 0.25


@dataclass(frozen=True, slots=True)
class Batch:
    """items [n, 5, 768], mask [n, 5]; negatives [m, 768] hold the answers, at `answers` [n].

    own_context [n, m] is true for passages of the window itself, same_article [n, m] for others
    of its article, the answer not among them.
    """

    items: Float32Matrix
    mask: Float32Matrix
    negatives: Float32Matrix
    answers: Rows
    own_context: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
    same_article: np.ndarray[tuple[int, int], np.dtype[np.bool_]]


def epoch_batches(
    passages: Sequence[Passages], settings: BatchSettings, generator: np.random.Generator
) -> Iterator[Batch]:
    """All windows of all passages once, in random order."""
    plans = [plan for each in passages for plan in _plan(each, settings, generator)]
    for number in generator.permutation(len(plans)):
        each, numbers, rows = plans[number]
        yield _make_batch(each, each.windows.take(numbers), rows, settings, generator)


_Plan = tuple[Passages, "np.ndarray[tuple[int], np.dtype[np.intp]]", Rows]


def _plan(
    passages: Passages, settings: BatchSettings, generator: np.random.Generator
) -> Iterator[_Plan]:
    articles = generator.permutation(np.unique(passages.articles))
    for group in range(settings.article_groups):
        chosen = articles[group :: settings.article_groups]
        rows = np.flatnonzero(np.isin(passages.articles, chosen)).astype(np.int64)
        numbers = generator.permutation(np.flatnonzero(np.isin(passages.windows.articles, chosen)))
        for start in range(0, len(numbers), settings.size):
            yield passages, numbers[start : start + settings.size], rows


def _make_batch(
    passages: Passages,
    windows: Windows,
    rows: Rows,
    settings: BatchSettings,
    generator: np.random.Generator,
) -> Batch:
    count = min(settings.random_count, len(passages.articles))
    others = generator.choice(len(passages.articles), count, replace=False)
    rows = np.union1d(rows, others)
    articles = passages.articles[rows]
    answers = np.searchsorted(rows, windows.golds)
    same_article = articles[None, :] == windows.articles[:, None]
    same_article[np.arange(len(windows)), answers] = False
    items, mask = padded_vectors(_some_shortened(windows, settings, generator), passages.vectors)
    return Batch(
        items=items,
        mask=mask,
        negatives=passages.vectors[rows],
        answers=np.asarray(answers, np.int64),
        own_context=_own_context(windows, rows),
        same_article=same_article,
    )


def _own_context(windows: Windows, rows: Rows) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """What stands in the whole window, also where the context is shortened."""
    own = np.zeros((len(windows), len(rows)), np.bool_)
    number, place = np.nonzero(windows.contexts != PADDING)
    own[number, np.searchsorted(rows, windows.contexts[number, place])] = True
    return own


def _some_shortened(
    windows: Windows, settings: BatchSettings, generator: np.random.Generator
) -> Windows:
    lengths = generator.integers(1, MAX_CONTEXT_ITEMS + 1, len(windows))
    untouched = generator.random(len(windows)) >= settings.shortened_share
    return windows.shortened(np.where(untouched, MAX_CONTEXT_ITEMS, lengths))
