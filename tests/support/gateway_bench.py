"""A pipeline over two stub shards, ready to be asked."""

from __future__ import annotations

import time
from typing import Any

from gateway.answer import Answer
from gateway.fanout import FanOutPolicy
from gateway.pipeline import Pipeline, PipelinePolicy
from gateway.query import SearchQuery, TextQuery
from gateway.reranking import RerankPolicy, RerankStage
from gateway.settling import CorpusView
from gateway.targets import Target
from retrieval_core.timing import TimingLedger, Timings
from tests.support.gateway_ports import (
    StubEncoder,
    StubReranker,
    StubShard,
    answer_of,
    reranker_target,
    shard_targets,
)

MS = 1_000_000
TEXT = TextQuery("why")


class Bench:
    """A pipeline over two shards: even ids in the first, odd ids in the second."""

    def __init__(self, *, reranks: bool = True, **policy: Any) -> None:
        self.encoder = StubEncoder()
        self.even = StubShard(answer_of([(one, 1.0 - one / 100) for one in range(0, 60, 2)]))
        self.odd = StubShard(answer_of([(one, 1.0 - one / 100) for one in range(1, 60, 2)]))
        self.reranker = StubReranker()
        fan_out = FanOutPolicy(timeout_ns=60_000 * MS, grace_floor_ns=20 * MS)
        self.view = CorpusView("r1", 2, {"shard-0": ("news",), "shard-1": ("news",)})
        self.pipeline = Pipeline(
            Target("encoder", "", self.encoder),
            shard_targets(self.even, self.odd),
            RerankStage(reranker_target(self.reranker) if reranks else None, RerankPolicy()),
            lambda: self.view,
            PipelinePolicy(fan_out, **policy),
        )
        self.ledger = TimingLedger({})

    async def ask(self, *, time_left_ms: float = 5000.0, **query: Any) -> Answer:
        checked = SearchQuery(**{"subject": TEXT, **query})
        deadline_ns = time.monotonic_ns() + int(time_left_ms * MS)
        return await self.pipeline.answer(checked, self.ledger, deadline_ns)

    def timings(self) -> Timings:
        return self.ledger.close()
