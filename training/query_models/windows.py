"""Windows of articles: up to five consecutive passages, and the one that follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from encoder_svc.query_models import MAX_CONTEXT_ITEMS
from retrieval_core.vectors import Float32Matrix

Rows = npt.NDArray[np.int64]

PADDING = -1


@dataclass(frozen=True, slots=True)
class Windows:
    """contexts [n, 5] rows, oldest first, at the right, PADDING before; golds [n] rows.

    `articles` [n] numbers the article of each window.
    """

    contexts: Rows
    golds: Rows
    articles: Rows

    def __len__(self) -> int:
        return len(self.golds)

    @property
    def lengths(self) -> Rows:
        """Items of each context, [n]."""
        return np.asarray((self.contexts != PADDING).sum(axis=1), np.int64)

    def take(self, numbers: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Windows:
        """The windows of those numbers, or where a mask is true."""
        return Windows(self.contexts[numbers], self.golds[numbers], self.articles[numbers])

    def shortened(self, lengths: Rows) -> Windows:
        """The same windows with at most lengths [n] items, the last ones kept."""
        ages = np.arange(MAX_CONTEXT_ITEMS - 1, -1, -1)
        kept = np.where(ages[None, :] < lengths[:, None], self.contexts, PADDING)
        return Windows(kept, self.golds, self.articles)


def windows_of(articles: Sequence[int], positions: Sequence[int]) -> Windows:
    """One window for each row that follows another of its article.

    articles, positions: of every row, rows of an article together and in order. A context ends
    where a position is missing.
    """
    found = [
        (row, before)
        for row in range(len(articles))
        if (before := _rows_before(articles, positions, row))
    ]
    contexts = np.full((len(found), MAX_CONTEXT_ITEMS), PADDING, np.int64)
    for number, (_, before) in enumerate(found):
        contexts[number, -len(before) :] = before
    golds = np.array([row for row, _ in found], np.int64)
    return Windows(contexts, golds, np.asarray(articles, np.int64)[golds])


def padded_vectors(windows: Windows, vectors: Float32Matrix) -> tuple[Float32Matrix, Float32Matrix]:
    """Items [n, 5, 768] with zeros for padding, and mask [n, 5], float32."""
    mask = (windows.contexts != PADDING).astype(np.float32)
    return vectors[windows.contexts] * mask[..., None], mask


def _rows_before(articles: Sequence[int], positions: Sequence[int], row: int) -> list[int]:
    first = row
    while (
        first > 0
        and row - first < MAX_CONTEXT_ITEMS
        and articles[first - 1] == articles[row]
        and positions[first - 1] == positions[first] - 1
    ):
        first -= 1
    return list(range(first, row))
