"""What the checks find, and what follows from it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.health import Health
from gateway.metrics import METRICS
from gateway.observing import Observer
from gateway.ports import Description
from gateway.targets import Target
from gateway.topology import Topology
from retrieval_core.breaker import Breaker
from retrieval_core.coverage import MissingReason
from retrieval_core.errors import Unavailable
from servicekit.telemetry import ServiceMetrics
from tests.support.gateway_ports import StubEncoder, StubReranker, StubShard, shard_targets
from tests.support.gateway_routes import router_of, topology_backends

GONE = Unavailable("gone")


def describes(shard: int, release_id: str = "r1", shard_count: int = 2) -> StubShard:
    description = Description(
        release_id=release_id, shard=shard, shard_count=shard_count, lanes=("news",)
    )
    return StubShard(description=description)


class Bench:
    """A topology over stubs whose clock stands still unless moved."""

    def __init__(self, *shards: StubShard, interval_ns: int = 3_600_000_000_000) -> None:
        self.now_ns = 0
        self.encoder = StubEncoder()
        self.reranker = StubReranker()
        self.shards = shards
        self.topology = Topology(
            Target("encoder", "e:1", self.encoder),
            shard_targets(*shards),
            Target("reranker", "r:1", self.reranker),
            interval_ns,
            1_000_000_000,
            version="1.2.3",
            clock=lambda: self.now_ns,
        )

    def health(self, *, min_coverage: float = 0.25, is_serving: bool = True) -> Health:
        observer = Observer(ServiceMetrics("gateway", METRICS), {})
        router = router_of(topology_backends(self.topology))
        return Health(router, observer, min_coverage, lambda: is_serving)


async def test_before_the_first_check_nothing_is_known() -> None:
    states = Bench(describes(0), describes(1)).topology.states()
    assert [state.name for state in states] == ["encoder", "shard-0", "shard-1", "reranker"]
    assert not any(state.is_serving for state in states)
    assert all(state.age_ns is None for state in states)


async def test_a_check_learns_what_every_server_says() -> None:
    bench = Bench(describes(0), describes(1))
    await bench.topology.check()
    bench.now_ns = 5
    states = bench.topology.states()
    assert all(state.is_serving and state.age_ns == 5 for state in states)
    assert bench.topology.view.release_id == "r1"
    assert bench.topology.view.shard_count == 2
    assert bench.topology.view.lanes == {"shard-0": ("news",), "shard-1": ("news",)}


async def test_a_server_that_fails_its_check_keeps_what_was_last_known() -> None:
    bench = Bench(describes(0), describes(1))
    await bench.topology.check()
    bench.shards[1].error = GONE
    bench.now_ns = 7
    await bench.topology.check()
    state = bench.topology.states()[2]
    assert not state.is_serving
    assert "gone" in state.detail
    assert (state.release_id, state.age_ns) == ("r1", 7)


async def test_the_corpus_has_as_many_shards_as_it_says() -> None:
    bench = Bench(describes(0, shard_count=4), describes(1, shard_count=4))
    await bench.topology.check()
    assert bench.topology.view.shard_count == 4


async def test_two_targets_with_one_shard_are_not_complete_coverage() -> None:
    bench = Bench(describes(0), describes(0))
    await bench.topology.check()
    missing = bench.topology.shards[1].why_not_asked()
    assert missing is not None
    assert missing.reason is MissingReason.FAILED
    assert "as shard-0 does" in missing.detail
    bench.shards[1].description = describes(1).description
    await bench.topology.check()
    assert bench.topology.shards[1].why_not_asked() is None


async def test_the_release_is_that_of_most_shards_and_ties_change_nothing() -> None:
    bench = Bench(describes(0), describes(1))
    await bench.topology.check()
    bench.shards[0].description = describes(0, "r2").description
    await bench.topology.check()
    assert bench.topology.view.release_id == "r1"
    bench.shards[1].description = describes(1, "r2").description
    await bench.topology.check()
    assert bench.topology.view.release_id == "r2"


async def test_a_target_set_aside_is_checked_at_once_and_tried_again() -> None:
    bench = Bench(describes(0), describes(1))
    target = bench.topology.shards[1]
    target.breaker = Breaker(1)
    running = asyncio.ensure_future(bench.topology.run())
    target.record_failure(MissingReason.TIMED_OUT, 1, 2)
    assert target.why_not_asked() is not None
    async with asyncio.timeout(30):
        while target.why_not_asked() is not None:  # noqa: ASYNC110 - the interval is an hour
            await asyncio.sleep(0)
    running.cancel()


async def test_checks_go_on_by_themselves() -> None:
    bench = Bench(describes(0), describes(1), interval_ns=1_000_000)
    running = asyncio.ensure_future(bench.topology.run())
    async with asyncio.timeout(30):
        while bench.topology.view.release_id != "r1":  # noqa: ASYNC110 - the checks are the event
            await asyncio.sleep(0.001)
    running.cancel()


async def test_health_is_ok_when_everything_serves() -> None:
    bench = Bench(describes(0), describes(1))
    await bench.topology.check()
    report = bench.health().report()
    assert report.is_answering
    assert report.body["status"] == "ok"
    assert report.body["version"] == "r1"
    assert report.body["software_version"] == "1.2.3"
    assert report.body["release"] == "r1"
    assert report.body["coverage"] == 1.0
    assert report.body["services"]["shard-1"]["serving"] is True


async def test_health_is_degraded_without_the_reranker_or_one_shard() -> None:
    for name in ("reranker", "shard"):
        bench = Bench(describes(0), describes(1))
        server = bench.reranker if name == "reranker" else bench.shards[0]
        await bench.topology.check()
        server.error = GONE
        await bench.topology.check()
        report = bench.health().report()
        assert (report.is_answering, report.body["status"]) == (True, "degraded")


async def test_health_is_degraded_when_the_corpus_has_shards_without_an_address() -> None:
    bench = Bench(describes(0, shard_count=4), describes(1, shard_count=4))
    await bench.topology.check()
    report = bench.health().report()
    assert (report.body["status"], report.body["coverage"]) == ("degraded", 0.5)


async def test_health_is_unavailable_without_encoder_or_with_too_few_shards() -> None:
    bench = Bench(describes(0), describes(1))
    bench.encoder.error = GONE
    await bench.topology.check()
    assert bench.health().report().body["status"] == "unavailable"

    bench = Bench(describes(0), describes(1))
    bench.shards[0].error = GONE
    await bench.topology.check()
    assert bench.health(min_coverage=0.6).report().is_answering is False
    assert bench.health(min_coverage=0.5).report().is_answering is True
    bench.shards[1].error = GONE
    await bench.topology.check()
    assert bench.health(min_coverage=0.0).report().is_answering is False


@pytest.mark.parametrize(
    ("percent", "baseline_gone", "status"),
    [
        (0, False, "ok"),
        (25, False, "degraded"),
        (100, False, "unavailable"),
        (0, True, "unavailable"),
        (25, True, "unavailable"),
        (100, True, "ok"),
    ],
)
async def test_the_arm_of_most_callers_decides_whether_it_is_worth_asking(
    percent: float, baseline_gone: bool, status: str
) -> None:
    benches = [Bench(describes(0), describes(1)) for _ in range(2)]
    benches[0 if baseline_gone else 1].encoder.error = GONE
    for bench in benches:
        await bench.topology.check()
    baseline, canary = (topology_backends(bench.topology) for bench in benches)
    router = router_of(baseline, canary, {"CANARY_PERCENT": percent})
    observer = Observer(ServiceMetrics("gateway", METRICS), {})
    report = Health(router, observer, 0.25, lambda: True).report()
    assert report.body["status"] == status
    assert report.body["arms"]["canary"]["serving"] is baseline_gone


async def test_a_gateway_that_drains_is_not_answering() -> None:
    bench = Bench(describes(0), describes(1))
    await bench.topology.check()
    report = bench.health(is_serving=False).report()
    assert (report.is_answering, report.body["status"]) == (False, "not serving")
