"""Texts of one call to vectors: look up, tokenise, queue, and say where the time went."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encoder_svc.lane import Lane
from encoder_svc.text_queue import EncodedText
from encoder_svc.tokens import FieldNames, TextTokenizer, TokenizedText, field_of_texts
from encoder_svc.vector_cache import CachedText, VectorCache
from retrieval_core.timing import Clock, monotonic_ns
from retrieval_core.vectors import DIMENSIONS, Float32Matrix

# Below this the tokenizer takes less than the way to another thread and back (docs/encoder.md).
INLINE_CHARACTERS = 1024


class Priority(enum.Enum):
    """Who waits for the answer."""

    QUERY = "query"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class EncodeTimes:
    """Where the time of one call went; `run_ns` includes pooling and normalisation."""

    queued_ns: int = 0
    tokenize_ns: int = 0
    run_ns: int = 0
    cached_count: int = 0
    batch_size: int = 0


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """vectors [n, 768] float32, unit norm; token_counts before the cut."""

    vectors: Float32Matrix
    token_counts: tuple[int, ...]
    truncated_indexes: tuple[int, ...]
    times: EncodeTimes


@dataclass(frozen=True, slots=True)
class Lanes:
    """Queries and bulk work queue apart, so that a corpus build delays no query."""

    query: Lane
    bulk: Lane


class TextEncoder:
    """Encodes for one event loop."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        lanes: Lanes,
        cache: VectorCache,
        clock: Clock = monotonic_ns,
    ) -> None:
        self._tokenizer = tokenizer
        self._lanes = lanes
        self._cache = cache
        self._clock = clock

    async def encode(
        self,
        texts: Sequence[str],
        priority: Priority,
        name_of: FieldNames = field_of_texts,
    ) -> EncodedTexts:
        """Encode checked texts. InvalidInput where one has no words; Overloaded when full."""
        if priority is Priority.BULK:
            known: dict[int, CachedText] = {}
        else:
            known = self._find_cached(texts)
        missing = [index for index in range(len(texts)) if index not in known]
        started_ns = self._clock()
        tokens = await self._tokenize(texts, missing, name_of)
        tokenized_ns = self._clock()
        encoded = await self._run(tokens, priority)
        times = _times(encoded, tokenized_ns - started_ns, len(known))
        for index, text, result in zip(missing, tokens, encoded, strict=True):
            known[index] = CachedText(result.vector.copy(), text.token_count, text.truncated)
            if priority is Priority.QUERY:
                self._cache.remember(texts[index], known[index])
        return _gather(known, times)

    def _find_cached(self, texts: Sequence[str]) -> dict[int, CachedText]:
        found = {index: self._cache.find(text) for index, text in enumerate(texts)}
        return {index: entry for index, entry in found.items() if entry is not None}

    async def _tokenize(
        self, texts: Sequence[str], missing: Sequence[int], name_of: FieldNames
    ) -> list[TokenizedText]:
        chosen = [texts[index] for index in missing]
        if not chosen:
            return []

        def tokenize() -> list[TokenizedText]:
            return self._tokenizer.tokenize(chosen, lambda place: name_of(missing[place]))

        if sum(map(len, chosen)) <= INLINE_CHARACTERS:
            return tokenize()
        return await asyncio.get_running_loop().run_in_executor(None, tokenize)

    async def _run(self, tokens: Sequence[TokenizedText], priority: Priority) -> list[EncodedText]:
        lane = self._lanes.query if priority is Priority.QUERY else self._lanes.bulk
        return await lane.encode([text.ids for text in tokens]) if tokens else []


def _times(encoded: Sequence[EncodedText], tokenize_ns: int, cached_count: int) -> EncodeTimes:
    """Of several texts the longest wait and the longest run; the batch of the last."""
    if not encoded:
        return EncodeTimes(tokenize_ns=tokenize_ns, cached_count=cached_count)
    return EncodeTimes(
        queued_ns=max(text.queued_ns for text in encoded),
        tokenize_ns=tokenize_ns,
        run_ns=max(text.run_ns for text in encoded),
        cached_count=cached_count,
        batch_size=encoded[-1].batch_size,
    )


def _gather(known: dict[int, CachedText], times: EncodeTimes) -> EncodedTexts:
    in_order = [known[index] for index in range(len(known))]
    return EncodedTexts(
        vectors=_stack(in_order),
        token_counts=tuple([entry.token_count for entry in in_order]),
        truncated_indexes=tuple([i for i, entry in enumerate(in_order) if entry.truncated]),
        times=times,
    )


def _stack(entries: Sequence[CachedText]) -> Float32Matrix:
    if len(entries) == 1:
        # The usual query: its vector is not copied once more.
        return entries[0].vector.reshape(1, DIMENSIONS)
    return np.stack([entry.vector for entry in entries])
