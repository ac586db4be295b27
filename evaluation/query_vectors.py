"""Turns the queries of a set into vectors, as the encoder service does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.querysets import EvaluationQuery, QuerySet, Task
from retrieval_core.vectors import Float32Matrix

Predict = Callable[[Float32Matrix], Float32Matrix]
"""Context vectors [1..5, 768], oldest first, to the vector [1, 768] of what comes next."""

EncodeTexts = Callable[[Sequence[str]], Float32Matrix]


@dataclass(frozen=True, slots=True)
class QueryVectors:
    """Vectors [q, 768] of all queries; contexts [m, 768] a query, None for a question."""

    vectors: Float32Matrix
    contexts: Sequence[Float32Matrix | None]


def make_query_vectors(query_set: QuerySet, encode: EncodeTexts, predict: Predict) -> QueryVectors:
    """Encode every text once; contexts go through `predict`."""
    if query_set.task is Task.QUESTION:
        vectors = encode([query.text for query in query_set.queries])
        return QueryVectors(vectors, [None] * len(vectors))
    contexts = _context_vectors(query_set.queries, encode)
    predicted = np.concatenate([predict(context) for context in contexts])
    return QueryVectors(np.ascontiguousarray(predicted, np.float32), contexts)


def norm_deviations(vectors: Float32Matrix) -> npt.NDArray[np.float64]:
    """abs(norm - 1) [n] of every row, in float64; NaN where an element is no number."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return np.asarray(np.abs(norms - 1.0), np.float64)


def _context_vectors(
    queries: Sequence[EvaluationQuery], encode: EncodeTexts
) -> list[Float32Matrix]:
    # Windows overlap: most passages stand in five of them.
    texts = sorted({item.text for query in queries for item in query.context})
    places = {text: place for place, text in enumerate(texts)}
    vectors = encode(texts)
    return [vectors[[places[item.text] for item in query.context]] for query in queries]
