"""Asking shards at the same time, and for how long."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.fanout import FanOutPolicy, ask_shards
from gateway.ports import ShardAnswer, ShardQuery
from gateway.targets import ShardTarget
from retrieval_core.breaker import Breaker
from retrieval_core.coverage import MissingReason
from retrieval_core.errors import Overloaded, RetrievalError, Unavailable
from retrieval_core.timing import Stage, TimingLedger
from tests.support.gateway_ports import StubShard, answer_of, shard_targets, unit_vector

MS = 1_000_000
QUERY = ShardQuery(unit_vector(), 50, 0, False, (), (), "fp", True)
LONG_NS = 60_000 * MS
QUICK = FanOutPolicy(timeout_ns=LONG_NS, grace_floor_ns=20 * MS, grace_factor=0.0)


async def ask(
    targets: list[ShardTarget],
    *,
    timeout_ns: int = LONG_NS,
    policy: FanOutPolicy = QUICK,
    ledger: TimingLedger | None = None,
) -> list[object]:
    ledger = ledger or TimingLedger({})
    return list(await ask_shards(targets, QUERY, timeout_ns, policy, ledger))


async def test_answers_come_in_the_order_of_the_targets_with_an_entry_each() -> None:
    ledger = TimingLedger({})
    shards = [StubShard(answer_of([(index, 0.5)])) for index in range(3)]
    outcomes = await ask_shards(shard_targets(*shards), QUERY, LONG_NS, QUICK, ledger)
    assert [outcome.target for outcome in outcomes] == ["shard-0", "shard-1", "shard-2"]
    assert [outcome.answer for outcome in outcomes] == [shard.answer for shard in shards]
    entries = ledger.close().stages
    assert [(one.stage, one.target) for one in entries] == [
        (Stage.SEARCH, f"shard-{index}") for index in range(3)
    ]
    assert all(one.queued_ns == 7 for one in entries)


async def test_a_shard_that_hangs_is_given_up_after_the_grace_and_its_call_cancelled() -> None:
    slow = StubShard(hangs=True)
    ledger = TimingLedger({})
    started = time.monotonic()
    outcomes = await ask_shards(shard_targets(StubShard(), slow), QUERY, LONG_NS, QUICK, ledger)
    assert 0.015 < time.monotonic() - started < 30
    assert outcomes[0].answer is not None
    assert outcomes[1].missing is not None
    assert outcomes[1].missing.reason is MissingReason.TIMED_OUT
    entry = ledger.close().stages[1]
    assert entry.elapsed_ns >= 15 * MS
    await asyncio.sleep(0)
    assert slow.cancelled_count == 1


async def test_without_a_grace_all_are_waited_for_until_the_timeout() -> None:
    policy = FanOutPolicy(timeout_ns=LONG_NS, grace_floor_ns=0)
    started = time.monotonic()
    outcomes = await ask_shards(
        shard_targets(StubShard(), StubShard(hangs=True)), QUERY, 80 * MS, policy, TimingLedger({})
    )
    assert time.monotonic() - started >= 0.075
    assert [outcome.answer is None for outcome in outcomes] == [False, True]


async def test_the_grace_begins_only_when_half_have_answered() -> None:
    shards = shard_targets(*(StubShard(hangs=index > 0) for index in range(3)))
    started = time.monotonic()
    await ask_shards(shards, QUERY, 100 * MS, QUICK, TimingLedger({}))
    assert time.monotonic() - started >= 0.09


async def test_an_answer_that_arrived_while_the_loop_stood_still_counts() -> None:
    loop = asyncio.get_running_loop()

    class Unread(StubShard):
        async def search(self, query: ShardQuery, timeout_ns: int) -> ShardAnswer:
            arrived: asyncio.Future[ShardAnswer] = loop.create_future()

            def stand_still() -> None:
                time.sleep(0.06)
                # From the socket to the answer it is some turns of the loop.
                loop.call_soon(loop.call_soon, arrived.set_result, self.answer)

            loop.call_later(0.001, stand_still)
            return await arrived

    outcomes = await ask_shards(
        shard_targets(StubShard(), Unread()), QUERY, LONG_NS, QUICK, TimingLedger({})
    )
    assert outcomes[1].answer is not None


async def test_errors_need_no_grace() -> None:
    shards = shard_targets(
        StubShard(error=Unavailable("gone")), StubShard(error=Overloaded("full"))
    )
    outcomes = await ask_shards(shards, QUERY, LONG_NS, QUICK, TimingLedger({}))
    assert [outcome.missing.reason for outcome in outcomes if outcome.missing] == [
        MissingReason.UNREACHABLE,
        MissingReason.OVERLOADED,
    ]


async def test_a_target_set_aside_is_not_asked_and_its_reason_remembered() -> None:
    gone = StubShard(error=Unavailable("gone"))
    targets = shard_targets(StubShard(), gone)
    targets[1].breaker = Breaker(2)
    set_aside = []
    targets[1].on_set_aside = lambda: set_aside.append(True)
    for _ in range(4):
        outcomes = await ask_shards(targets, QUERY, LONG_NS, QUICK, TimingLedger({}))
    assert len(gone.asked) == 2
    assert set_aside == [True]
    assert outcomes[1].missing is not None
    assert outcomes[1].missing.reason is MissingReason.UNREACHABLE
    assert "set aside" in outcomes[1].missing.detail


async def test_a_target_not_asked_has_no_entry() -> None:
    targets = shard_targets(StubShard(), StubShard())
    targets[1].bar = "serves shard 0, as shard-0 does"
    ledger = TimingLedger({})
    outcomes = await ask_shards(targets, QUERY, LONG_NS, QUICK, ledger)
    assert [one.target for one in ledger.close().stages] == ["shard-0"]
    assert outcomes[1].missing is not None
    assert outcomes[1].missing.reason is MissingReason.FAILED


@pytest.mark.parametrize("error", [Overloaded("full"), RetrievalError("odd")])
async def test_a_shard_that_answers_with_an_error_is_not_set_aside(error: RetrievalError) -> None:
    busy = StubShard(error=error)
    targets = shard_targets(StubShard(), busy)
    targets[1].breaker = Breaker(1)
    await ask(targets)
    await ask(targets)
    assert len(busy.asked) == 2


async def test_a_caller_in_a_hurry_does_not_set_a_shard_aside() -> None:
    slow = StubShard(hangs=True)
    targets = shard_targets(slow)
    targets[0].breaker = Breaker(1)
    await ask(targets, timeout_ns=2 * MS)
    assert not targets[0].breaker.is_open
    await ask(targets, timeout_ns=30 * MS)
    assert targets[0].breaker.is_open


async def test_searches_that_fail_at_the_same_time_count_once() -> None:
    targets = shard_targets(StubShard(hangs=True))
    targets[0].breaker = Breaker(2)
    await asyncio.gather(*(ask(targets, timeout_ns=30 * MS) for _ in range(8)))
    assert not targets[0].breaker.is_open
    await ask(targets, timeout_ns=30 * MS)
    assert targets[0].breaker.is_open


async def test_a_cancelled_request_cancels_its_searches() -> None:
    slow = StubShard(hangs=True)
    request = asyncio.ensure_future(ask(shard_targets(slow)))
    await slow.was_asked.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await asyncio.sleep(0)
    assert slow.cancelled_count == 1


async def test_a_defect_of_ours_is_not_taken_for_a_missing_shard() -> None:
    class Broken(StubShard):
        async def search(self, query: ShardQuery, timeout_ns: int) -> object:  # type: ignore[override]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(shard_targets(Broken()))
