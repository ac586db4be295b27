"""Clients of the gateway's ports that answer from memory, and the targets around them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.ports import (
    Description,
    EncodedQuery,
    PassageText,
    RerankAnswer,
    RerankQuery,
    ShardAnswer,
    ShardQuery,
)
from gateway.query import ContextQuery, TextQuery
from gateway.targets import RerankerTarget, ShardTarget, Target
from retrieval_core.errors import RetrievalError
from retrieval_core.hits import HitList, rank_order
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows

RELEASE = "r1"


def unit_vector(seed: int = 0) -> Float32Matrix:
    return normalize_rows(np.random.default_rng(seed).standard_normal((1, DIMENSIONS)))


def hits_of(pairs: Sequence[tuple[int, float]], *, projected: bool = True) -> HitList:
    """Hits (id, score), article id // 10, position id % 10."""
    ids = np.array([one for one, _ in pairs], np.int64)
    scores = np.array([score for _, score in pairs], np.float32)
    order = rank_order(scores, ids)
    ids, scores = ids[order], scores[order]
    projections = np.zeros((len(ids), 4), np.float16) if projected and len(ids) else None
    return HitList(
        ids, scores, (ids // 10).astype(np.uint64), (ids % 10).astype(np.int32), projections
    )


class TextsById:
    """Passages named after their ids."""

    def __init__(self, hits: HitList) -> None:
        self._ids = hits.passage_ids.tolist()
        self.read_count = 0

    def __getitem__(self, offset: int) -> PassageText:
        self.read_count += 1
        one = self._ids[offset]
        return PassageText(f"article-{one // 10}", "news", f"text {one}")


def answer_of(
    pairs: Sequence[tuple[int, float]],
    *,
    release_id: str = RELEASE,
    unknown_lanes: tuple[str, ...] = (),
    projected: bool = True,
) -> ShardAnswer:
    hits = hits_of(pairs, projected=projected)
    return ShardAnswer(
        hits, TextsById(hits), release_id, nprobe=8, unknown_lanes=unknown_lanes, queued_ns=7
    )


@dataclass(slots=True)
class StubEncoder:
    """Answers with one vector, or raises `error`."""

    answer: EncodedQuery = field(
        default_factory=lambda: EncodedQuery(unit_vector(), fingerprint="fp", queued_ns=5)
    )
    error: RetrievalError | None = None
    hangs: bool = False
    takes_s: float = 0.0
    asked: list[TextQuery | ContextQuery] = field(default_factory=list)
    query_models: list[str] = field(default_factory=list)

    async def encode_query(
        self, subject: TextQuery | ContextQuery, timeout_ns: int, query_model: str = ""
    ) -> EncodedQuery:
        self.asked.append(subject)
        self.query_models.append(query_model)
        await asyncio.sleep(self.takes_s)
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return self.answer

    async def describe(self, timeout_ns: int) -> Description:
        if self.error is not None:
            raise self.error
        return Description(fingerprint="fp", version="1")


@dataclass(slots=True)
class StubShard:
    """Answers with fixed hits, raises, or never answers."""

    answer: ShardAnswer = field(default_factory=lambda: answer_of([(1, 0.5)]))
    error: RetrievalError | None = None
    hangs: bool = False
    description: Description = field(
        default_factory=lambda: Description(release_id=RELEASE, shard_count=1, lanes=("news",))
    )
    asked: list[ShardQuery] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled_count: int = 0

    async def search(self, query: ShardQuery, timeout_ns: int) -> ShardAnswer:
        self.asked.append(query)
        self.was_asked.set()
        if self.hangs:
            await self._hang()
        if self.error is not None:
            raise self.error
        return self.answer

    async def _hang(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled_count += 1
            raise

    async def describe(self, timeout_ns: int) -> Description:
        if self.error is not None:
            raise self.error
        return self.description


@dataclass(slots=True)
class StubReranker:
    """Scores are the negated cosines, or `scores`; or raises `error`."""

    error: RetrievalError | None = None
    scores: Sequence[float] | None = None
    asked: list[RerankQuery] = field(default_factory=list)

    async def rerank(self, query: RerankQuery, timeout_ns: int) -> RerankAnswer:
        self.asked.append(query)
        if self.error is not None:
            raise self.error
        scores = -query.candidates.scores
        if self.scores is not None:
            scores = np.array(self.scores, np.float32)
        features = scores[:, None] * np.float32(2)
        return RerankAnswer(scores, features, ("doubled",), queued_ns=3)

    async def describe(self, timeout_ns: int) -> Description:
        if self.error is not None:
            raise self.error
        return Description(fingerprint="fp")


def shard_targets(*shards: StubShard) -> list[ShardTarget]:
    """Targets named shard-0, shard-1 and so on."""
    return [Target(f"shard-{index}", "", shard) for index, shard in enumerate(shards)]


def reranker_target(reranker: StubReranker) -> RerankerTarget:
    return Target("reranker", "", reranker)
