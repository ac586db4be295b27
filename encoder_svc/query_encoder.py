"""A query, text or context, to its vector: encode what is text, then ask the query model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encoder_svc.query_model_choice import Fallback, QueryModels
from encoder_svc.text_encoder import EncodeTimes, Priority, TextEncoder
from retrieval_core.timing import Clock, monotonic_ns
from retrieval_core.vectors import DIMENSIONS, Float32Matrix

ContextItems = Sequence[str | Float32Matrix]
"""Texts, and vectors [1, 768] of unit norm, oldest first."""


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """vector [1, 768]; context_vectors [items, 768] of a context, None of a text.

    `fallback` says why another query model than the requested one answered.
    """

    vector: Float32Matrix
    context_vectors: Float32Matrix | None
    query_model: str
    query_model_ns: int
    times: EncodeTimes
    truncated: bool
    fallback: Fallback | None = None


class QueryEncoder:
    """Encodes queries of both kinds."""

    def __init__(
        self, texts: TextEncoder, models: QueryModels, clock: Clock = monotonic_ns
    ) -> None:
        self._texts = texts
        self._models = models
        self._clock = clock

    async def encode_text(self, text: str) -> EncodedQuery:
        """The vector of one checked text."""
        encoded = await self._texts.encode([text], Priority.QUERY, lambda _: "text")
        return EncodedQuery(
            vector=encoded.vectors,
            context_vectors=None,
            query_model="",
            query_model_ns=0,
            times=encoded.times,
            truncated=bool(encoded.truncated_indexes),
        )

    async def encode_context(self, items: ContextItems, model_name: str) -> EncodedQuery:
        """The query model's vector for checked items; an empty name is the default model's."""
        self._models.check(model_name)
        vectors, times, truncated = await self._item_vectors(items)
        started_ns = self._clock()
        prediction = await self._models.predict(model_name, vectors)
        return EncodedQuery(
            vector=prediction.vector,
            context_vectors=vectors,
            query_model=prediction.model,
            query_model_ns=self._clock() - started_ns,
            times=times,
            truncated=truncated,
            fallback=prediction.fallback,
        )

    async def _item_vectors(self, items: ContextItems) -> tuple[Float32Matrix, EncodeTimes, bool]:
        places = [place for place, item in enumerate(items) if isinstance(item, str)]
        vectors = np.empty((len(items), DIMENSIONS), np.float32)
        for place, item in enumerate(items):
            if not isinstance(item, str):
                vectors[place] = item[0]
        if not places:
            return vectors, EncodeTimes(), False
        texts = [item for item in items if isinstance(item, str)]
        encoded = await self._texts.encode(
            texts, Priority.QUERY, lambda index: f"context.items[{places[index]}].text"
        )
        vectors[places] = encoded.vectors
        return vectors, encoded.times, bool(encoded.truncated_indexes)
