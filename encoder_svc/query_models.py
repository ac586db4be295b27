"""What makes one query vector of the vectors of a context: the protocol, and the simple rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import Float32Matrix, mean_direction, normalize_rows

MAX_CONTEXT_ITEMS = 5
RECENCY_FACTOR = 0.5


class QueryModel(Protocol):
    """Predicts where the passage after a context lies."""

    @property
    def name(self) -> str:
        """What a request calls it."""
        ...

    def predict(self, context: Float32Matrix) -> Float32Matrix:
        """Context [1..5, 768] unit rows, oldest first; returns [1, 768], unit norm."""
        ...


@dataclass(frozen=True, slots=True)
class MeanQueryModel:
    """The direction of the mean; blind to order."""

    name: str = "mean"

    def predict(self, context: Float32Matrix) -> Float32Matrix:
        """See QueryModel.predict. InvalidInput where the vectors cancel out."""
        return mean_direction(context)


@dataclass(frozen=True, slots=True)
class LastQueryModel:
    """The last passage's own vector: the next is like the one before it."""

    name: str = "last"

    def predict(self, context: Float32Matrix) -> Float32Matrix:
        """See QueryModel.predict."""
        return np.ascontiguousarray(context[-1:])


@dataclass(frozen=True, slots=True)
class RecencyQueryModel:
    """The direction of a mean in which each step back counts `factor` of the one after it."""

    factor: float = RECENCY_FACTOR
    name: str = "recency"

    def predict(self, context: Float32Matrix) -> Float32Matrix:
        """See QueryModel.predict. InvalidInput where the vectors cancel out."""
        weights = recency_weights(len(context), self.factor)
        mean = (weights @ context.astype(np.float64))[None, :]
        if float(np.abs(mean).max()) < 1e-7:
            raise InvalidInput("context", "its vectors cancel out", reason="ZERO_VECTOR")
        return normalize_rows(mean)


def recency_weights(
    count: int, factor: float = RECENCY_FACTOR
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Weights [count], oldest first, that sum to 1; the last is the largest."""
    weights = factor ** np.arange(count - 1, -1, -1, dtype=np.float64)
    return np.asarray(weights / weights.sum(), np.float64)


RULES: Mapping[str, QueryModel] = MappingProxyType(
    {rule.name: rule for rule in (RecencyQueryModel(), MeanQueryModel(), LastQueryModel())}
)
"""What needs no training and is always there, by name."""
