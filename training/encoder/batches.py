"""Which rows meet in a batch: paragraphs of few articles together, so that negatives are hard."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from training.encoder.tokens import Ids, Rows

Weights = npt.NDArray[np.float32]


def article_batches(
    articles: Rows, size: int, per_article: int, rng: np.random.Generator
) -> Iterator[Rows]:
    """One pass over the rows in batches of exactly `size`; a smaller rest is left out.

    articles [n] names the article of each row. A batch holds runs of up to `per_article`
    consecutive rows of one article, from articles in random order.
    """
    runs = [run for rows in _rows_by_article(articles) for run in _cut(rows, per_article, rng)]
    order = np.concatenate([runs[index] for index in rng.permutation(len(runs))])
    for start in range(0, len(order) - size + 1, size):
        yield order[start : start + size]


def endless_batches(count: int, size: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Random batches of `size` of `count` rows for ever, each row once a pass."""
    while True:
        order = rng.permutation(count)
        for start in range(0, max(count - size, 0) + 1, size):
            yield order[start : start + size]


def drop_tokens(ids: Ids, offsets: Rows, rate: float, rng: np.random.Generator) -> tuple[Ids, Rows]:
    """Leaves out each id with probability `rate`, but never the first of a row."""
    keep = rng.random(len(ids)) >= rate
    keep[offsets] = True
    before = np.concatenate([[0], np.cumsum(keep)])
    return ids[keep], before[offsets]


def at_most_each(places: Rows, most: int, rng: np.random.Generator) -> Rows:
    """Indices into ascending `places` that keep at most `most` random ones of each value."""
    order = np.lexsort((rng.random(len(places)), places))
    within = np.arange(len(places)) - np.searchsorted(places, places, side="left")
    kept: Rows = np.sort(order[within < most])
    return kept


def local_following(following: Rows, rows: Rows) -> Rows:
    """following[rows] as places within `rows`, -1 where the next row is not among them."""
    place = {int(row): index for index, row in enumerate(rows)}
    return np.array([place.get(int(following[row]), -1) for row in rows], dtype=np.int64)


def context_weights(following: Rows, longest: int, factor: float) -> tuple[Weights, Rows]:
    """The contexts in a batch: weights [w, n] float32 and the row [w] that follows each.

    following [n] is the place of each row's next one in the batch, or -1. A context is the up to
    `longest` rows before a row; they weigh 1, factor, factor^2, ... from the last backwards.
    """
    previous = {int(after): before for before, after in enumerate(following) if after >= 0}
    targets = sorted(previous)
    weights = np.zeros((len(targets), len(following)), dtype=np.float32)
    for index, target in enumerate(targets):
        place, weight, length = target, 1.0, 0
        while place in previous and length < longest:
            place = previous[place]
            weights[index, place] = weight
            weight, length = weight * factor, length + 1
    return weights, np.array(targets, dtype=np.int64)


def _rows_by_article(articles: Rows) -> list[Rows]:
    order = np.argsort(articles, kind="stable")
    cuts = np.flatnonzero(np.diff(articles[order])) + 1
    return np.split(order, cuts)


def _cut(rows: Rows, per_article: int, rng: np.random.Generator) -> list[Rows]:
    shift = int(rng.integers(per_article))
    cuts = range(shift, len(rows), per_article)
    return [part for part in np.split(rows, list(cuts)) if len(part)]
