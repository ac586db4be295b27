"""Models that make one query vector of the vectors of a context."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import Float32Matrix, mean_direction


class QueryModel(Protocol):
    """Predicts where the passage after a context lies."""

    @property
    def name(self) -> str:
        """What a request calls it."""
        ...

    def predict(self, context: Float32Matrix) -> Float32Matrix:
        """Context [1..5, 768] unit rows, oldest first; returns [1, 768], unit norm."""
        ...


class MeanQueryModel:
    """The direction of the mean; blind to order, and needs no training."""

    name = "mean"

    def predict(self, context: Float32Matrix) -> Float32Matrix:
        """See QueryModel.predict. InvalidInput where the vectors cancel out."""
        return mean_direction(context)


class QueryModels:
    """The loaded query models by name, one of them the default."""

    def __init__(self, models: Iterable[QueryModel], default: str) -> None:
        self._models = {model.name: model for model in models}
        if default not in self._models:
            raise InvalidInput("query_model", f"{default!r} is none of {sorted(self._models)}")
        self._default = default

    @property
    def names(self) -> list[str]:
        """All names, the default first."""
        return [self._default, *(name for name in self._models if name != self._default)]

    def find(self, name: str) -> QueryModel:
        """The model of that name, or the default for an empty one. InvalidInput if unknown."""
        model = self._models.get(name or self._default)
        if model is None:
            raise InvalidInput(
                "query_model", f"must be one of {self.names}", reason="UNKNOWN_QUERY_MODEL"
            )
        return model
