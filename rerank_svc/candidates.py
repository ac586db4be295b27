"""What one call asks to be ordered: candidates with their scores, articles and projections."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from retrieval_core.hits import Float32Array, UInt64Array
from retrieval_core.vectors import Float16Matrix, Float32Matrix

MAX_CONTEXT_ITEMS = 5


class QueryKind(enum.IntEnum):
    """Which weights apply; the values are rows of the model's weight arrays."""

    QUESTION = 0
    CONTEXT = 1


@dataclass(frozen=True, slots=True)
class RerankInput:
    """A query with its n candidates, in any order; all of it checked by the converter.

    scores [n] float32 cosines, article_keys [n] uint64, projections [n, p] float16,
    query [1, 768] float32 unit norm, context [m, 768] float32 unit rows, oldest first, or None.
    """

    kind: QueryKind
    scores: Float32Array
    article_keys: UInt64Array
    projections: Float16Matrix
    query: Float32Matrix
    context: Float32Matrix | None = None

    def __len__(self) -> int:
        return len(self.scores)
