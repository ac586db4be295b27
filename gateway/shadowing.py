"""The shadow: copies of live queries, answered by the canary off the hot path and compared."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.answer import Answer
from gateway.arms import CANARY
from gateway.query import SearchQuery
from gateway.recording import Answered
from gateway.routing import Arm, Router
from retrieval_core.errors import RetrievalError
from retrieval_core.latency import summarize_ms
from retrieval_core.timing import TimingLedger, Timings, stage_totals_ns
from servicekit.admission import Admission
from servicekit.call import entered_call, make_call
from servicekit.metric_names import MetricSpec
from servicekit.telemetry import ServiceMetrics

ANSWERED = "answered"
FAILED = "failed"
DROPPED = "dropped"
OUTCOMES = (ANSWERED, FAILED, DROPPED)

SHADOW_QUERIES = MetricSpec(
    "gateway_shadow_queries_total",
    "counter",
    "1",
    "Copies of live queries for the canary, by outcome: answered, failed, dropped (when busy)",
    ("outcome",),
)
SHADOW_OVERLAP = MetricSpec(
    "gateway_shadow_overlap",
    "summary",
    "1",
    "Share of the first ten hits that the live answer and the canary's have in common",
)
SHADOW_RANK1_EQUAL = MetricSpec(
    "gateway_shadow_rank1_equal_total",
    "counter",
    "1",
    "Copies whose first hit is that of the live answer",
)
SHADOW_EXTRA = MetricSpec(
    "gateway_shadow_extra_seconds",
    "summary",
    "s",
    "What the canary's stages took less what the live answer's did; negative when it is faster",
)
SHADOW_METRICS = (SHADOW_QUERIES, SHADOW_OVERLAP, SHADOW_RANK1_EQUAL, SHADOW_EXTRA)

COMPARED_HITS = 10

_WINDOW = 1024


@dataclass(frozen=True, slots=True)
class ShadowPolicy:
    """At most `concurrency` copies at once, each for at most `timeout_ms`.

    None is begun while more than `busy_share` of the gateway's places are taken by live queries.
    """

    concurrency: int = 2
    timeout_ms: float = 1000.0
    busy_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to one query: `overlap` of the first hits 0 to 1, `extra_ns` of the second."""

    overlap: float
    rank1_equal: bool
    extra_ns: int


@dataclass(slots=True)
class Shadow:
    """Follows live answers of the baseline. It delays none, and its failures are only counted."""

    router: Router
    admission: Admission
    metrics: ServiceMetrics
    policy: ShadowPolicy = field(default_factory=ShadowPolicy)
    chance: random.Random = field(default_factory=random.Random)
    _copies: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _recent: deque[Comparison] = field(init=False, default_factory=lambda: deque(maxlen=_WINDOW))

    def follow(self, answered: Answered) -> None:
        """Begin a copy of an answered query, or not: by chance, and when there is room."""
        traffic = self.router.traffic
        percent = traffic.flags.flags.shadow_percent
        if traffic.canary is None or percent == 0 or answered.arm.name == CANARY:
            return
        if self.chance.random() * 100 >= percent:
            return
        if self._is_busy():
            self.metrics.add(SHADOW_QUERIES, outcome=DROPPED)
            return
        copy = asyncio.create_task(self._copy(answered, traffic.canary), name="shadow copy")
        self._copies.add(copy)
        copy.add_done_callback(self._copies.discard)

    def report(self) -> dict[str, Any]:
        """Counts since the start, and how the last answers compare, as JSON."""
        counts = {
            outcome: int(self.metrics.value(SHADOW_QUERIES.name, outcome=outcome) or 0)
            for outcome in OUTCOMES
        }
        extra = summarize_ms([one.extra_ns / 1e6 for one in self._recent])
        return {
            "percent": self.router.traffic.flags.flags.shadow_percent,
            **counts,
            "compared": len(self._recent),
            "overlap": _mean([one.overlap for one in self._recent]),
            "rank1_equal": _mean([float(one.rank1_equal) for one in self._recent]),
            "extra_p50_ms": None if extra is None else round(extra.p50_ms, 3),
            "extra_p95_ms": None if extra is None else round(extra.p95_ms, 3),
        }

    async def close(self) -> None:
        """End the copies that are under way."""
        copies = list(self._copies)
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)

    def _is_busy(self) -> bool:
        most = self.policy.busy_share * self.admission.limit
        return len(self._copies) >= self.policy.concurrency or self.admission.in_flight > most

    async def _copy(self, answered: Answered, canary: Arm) -> None:
        # A call of its own: the live one is over, and its trace and deadline with it.
        ledger = TimingLedger({})
        query = replace(answered.query, explain=False)
        try:
            with entered_call(make_call("shadow", time_left_ms=self.policy.timeout_ms)) as call:
                async with asyncio.timeout(call.time_left_s()):
                    answer = await _ask(canary, query, ledger, call.deadline_ns)
        except (RetrievalError, TimeoutError):
            self.metrics.add(SHADOW_QUERIES, outcome=FAILED)
            return
        limit = min(COMPARED_HITS, query.limit)
        self._note(compare(answered.answer, answered.timings, answer, ledger.close(), limit))

    def _note(self, comparison: Comparison) -> None:
        self._recent.append(comparison)
        self.metrics.add(SHADOW_QUERIES, outcome=ANSWERED)
        self.metrics.summary(SHADOW_OVERLAP).observe(comparison.overlap)
        self.metrics.summary(SHADOW_EXTRA).observe(comparison.extra_ns / 1e9)
        if comparison.rank1_equal:
            self.metrics.add(SHADOW_RANK1_EQUAL)


async def _ask(canary: Arm, query: SearchQuery, ledger: TimingLedger, deadline_ns: int) -> Answer:
    with canary.backends:
        return await canary.backends.pipeline.answer(query, ledger, deadline_ns, canary.tuning)


def compare(
    live: Answer, live_timings: Timings, other: Answer, other_timings: Timings, limit: int
) -> Comparison:
    """Compare the first `limit` hits and the time of all stages of two answers to one query.

    Two answers without hits are the same.
    """
    first = [hit.passage_id for hit in live.hits[:limit]]
    second = [hit.passage_id for hit in other.hits[:limit]]
    longest = max(len(first), len(second))
    return Comparison(
        len(set(first) & set(second)) / longest if longest else 1.0,
        first[:1] == second[:1],
        _stages_ns(other_timings) - _stages_ns(live_timings),
    )


def _stages_ns(timings: Timings) -> int:
    return sum(stage_totals_ns(timings.stages).values())


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
