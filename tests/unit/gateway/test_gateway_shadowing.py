"""The shadow: what is copied, what is dropped, what comes of the comparison."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from gateway.answer import Answer
from gateway.metrics import METRICS
from gateway.query import SearchQuery
from gateway.recording import Answered
from gateway.shadowing import Shadow, ShadowPolicy, compare
from retrieval_core.errors import Unavailable
from retrieval_core.timing import Stage, StageTiming, Timings
from servicekit.admission import Admission
from servicekit.telemetry import ServiceMetrics
from tests.support.gateway_bench import TEXT, Bench
from tests.support.gateway_ports import answer_of
from tests.support.gateway_routes import bench_backends, router_of


class ShadowBench:
    """A baseline and a canary over stubs, and a shadow that follows the baseline."""

    def __init__(self, percent: float = 100, **policy: Any) -> None:
        self.live, self.other = Bench(), Bench()
        self.metrics = ServiceMetrics("gateway", METRICS)
        values = {"SHADOW_PERCENT": percent}
        self.router = router_of(bench_backends(self.live), bench_backends(self.other), values)
        self.admission = Admission(8, "gateway")
        self.shadow = Shadow(
            self.router,
            self.admission,
            self.metrics,
            ShadowPolicy(**policy),
            random.Random(1),
        )

    async def answered(self, arm: str = "baseline", **query: Any) -> Answered:
        traffic = self.router.traffic
        one = traffic.baseline if arm == "baseline" else traffic.canary
        assert one is not None
        checked = SearchQuery(TEXT, **query)
        answer = await self.live.ask(**query)
        return Answered(checked, traffic, one, answer, self.live.timings())

    async def follow(self, count: int = 1, **query: Any) -> None:
        for _ in range(count):
            self.shadow.follow(await self.answered(**query))
            await self.settle()

    async def settle(self) -> None:
        async with asyncio.timeout(30):
            while self.shadow._copies:  # noqa: ASYNC110 - the copies are tasks of their own
                await asyncio.sleep(0)

    def count(self, outcome: str) -> float:
        return self.metrics.value("gateway_shadow_queries_total", outcome=outcome) or 0


async def test_a_copy_is_answered_by_the_canary_and_compared() -> None:
    bench = ShadowBench()
    await bench.follow()
    assert bench.count("answered") == 1
    report = bench.shadow.report()
    assert (report["overlap"], report["rank1_equal"], report["compared"]) == (1.0, 1.0, 1)
    assert report["percent"] == 100
    assert bench.metrics.value("gateway_shadow_overlap_sum") == 1.0
    assert bench.metrics.value("gateway_shadow_rank1_equal_total") == 1
    assert bench.other.encoder.asked == [TEXT]


async def test_other_answers_are_told_from_the_same() -> None:
    bench = ShadowBench()
    bench.other.even.answer = answer_of([(one, 0.5) for one in range(1000, 1050)])
    bench.other.odd.answer = answer_of([(one, 0.4) for one in range(2000, 2050)])
    await bench.follow()
    report = bench.shadow.report()
    assert (report["overlap"], report["rank1_equal"]) == (0.0, 0.0)


@pytest.mark.parametrize(("percent", "least", "most"), [(0, 0, 0), (25, 15, 35), (100, 100, 100)])
async def test_the_share_that_is_copied_is_the_flags(percent: float, least: int, most: int) -> None:
    bench = ShadowBench(percent)
    await bench.follow(100)
    assert least <= bench.count("answered") <= most


async def test_a_canary_is_not_shadowed_by_itself() -> None:
    bench = ShadowBench()
    await bench.follow(arm="canary")
    assert bench.other.encoder.asked == []


async def test_without_a_canary_nothing_is_copied() -> None:
    bench = ShadowBench()
    bench.router.use_backends(bench.router.baseline, None)
    await bench.follow()
    assert bench.shadow.report()["answered"] == 0


async def test_copies_beyond_the_bound_are_dropped_at_once() -> None:
    bench = ShadowBench(concurrency=2)
    bench.other.even.hangs = bench.other.odd.hangs = True
    answered = await bench.answered()
    for _ in range(5):
        bench.shadow.follow(answered)
    assert bench.count("dropped") == 3
    await bench.shadow.close()
    assert bench.shadow._copies == set()


async def test_copies_are_dropped_while_live_queries_take_the_places() -> None:
    bench = ShadowBench()
    answered = await bench.answered()
    with bench.admission.admitted(5):
        bench.shadow.follow(answered)
    assert bench.count("dropped") == 1


async def test_a_failing_canary_is_only_counted() -> None:
    bench = ShadowBench()
    bench.other.even.error = bench.other.odd.error = Unavailable("gone")
    await bench.follow()
    assert (bench.count("failed"), bench.count("answered")) == (1, 0)


async def test_a_copy_that_takes_too_long_is_given_up() -> None:
    bench = ShadowBench(timeout_ms=30.0)
    bench.other.encoder.hangs = True
    await bench.follow()
    assert bench.count("failed") == 1


async def test_copies_are_not_counted_as_requests_of_the_canary() -> None:
    bench = ShadowBench()
    await bench.follow()
    assert bench.router.traffic.canary is not None
    windows = bench.router.traffic.canary.observer.windows
    assert all(one.summary is None for one in windows.latencies({}).values())


def timings(search_ms: int) -> Timings:
    entry = StageTiming(Stage.SEARCH, "shard-0", search_ms * 1_000_000, 0, 0)
    return Timings((entry,), 50_000_000)


async def test_what_is_compared_are_the_stages_and_the_first_hits() -> None:
    live = await Bench().ask(limit=20)
    hits = tuple(reversed(live.hits[:5])) + live.hits[15:20]
    other = Answer(hits, live.coverage, (), "r2", "", "", False, 8)
    comparison = compare(live, timings(3), other, timings(5), 10)
    assert comparison.overlap == 0.5
    assert not comparison.rank1_equal
    assert comparison.extra_ns == 2_000_000


async def test_two_empty_answers_are_the_same() -> None:
    live = await Bench().ask()
    empty = Answer((), live.coverage, (), "r1", "", "", False, 8)
    assert compare(empty, timings(1), empty, timings(1), 10).overlap == 1.0
    assert compare(live, timings(1), empty, timings(1), 10).overlap == 0.0
