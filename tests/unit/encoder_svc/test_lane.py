"""The queue: batches whoever waits, forgets whoever left, refuses beyond its limit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from encoder_svc.lane import Lane, LaneOptions
from encoder_svc.session import Ids
from encoder_svc.text_batches import BatchLimits
from retrieval_core.errors import InternalError, Overloaded
from retrieval_core.vectors import Float32Matrix

LIMIT = 6


class GatedSession:
    """Answers with each text's first id once the gate is open; keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[Ids]] = []
        self.threads: list[int] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.error: Exception | None = None

    def run(self, batch: Sequence[Ids]) -> Float32Matrix:
        self.batches.append(list(batch))
        self.threads.append(threading.get_ident())
        self.entered.release()
        assert self.gate.acquire(timeout=30)
        if self.error is not None:
            raise self.error
        return np.array([[ids[0]] for ids in batch], np.float32)

    async def wait_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, timeout=30)


@pytest.fixture
def session() -> GatedSession:
    return GatedSession()


@pytest.fixture
async def lane(session: GatedSession) -> AsyncIterator[Lane]:
    made = Lane([session], LaneOptions("test", BatchLimits(64), LIMIT))
    yield made
    session.gate.release(1000)
    await made.close()


async def settle() -> None:
    """Let tasks that can run reach the point where they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def start(lane: Lane, *texts: Ids) -> asyncio.Task[list[float]]:
    async def encode() -> list[float]:
        return [float(text.vector[0]) for text in await lane.encode(texts)]

    task = asyncio.create_task(encode())
    await settle()
    return task


async def test_who_waits_while_the_session_is_busy_shares_the_next_run(
    lane: Lane, session: GatedSession
) -> None:
    first = await start(lane, (1, 1))
    await session.wait_entered()
    others = [await start(lane, (number, 1)) for number in (2, 3, 4)]
    assert lane.waiting_count == 3
    session.gate.release(2)
    assert await first == [1.0]
    assert [await task for task in others] == [[2.0], [3.0], [4.0]]
    assert session.batches == [[(1, 1)], [(2, 1), (3, 1), (4, 1)]]
    assert lane.admission.in_flight == 0


async def test_nobody_waits_for_company(lane: Lane, session: GatedSession) -> None:
    session.gate.release()
    (text,) = await lane.encode([(7, 1)])
    assert text.batch_size == 1
    assert text.queued_ns >= 0
    assert text.run_ns > 0


async def test_a_caller_that_left_is_out_of_the_queue(lane: Lane, session: GatedSession) -> None:
    first = await start(lane, (1, 1))
    await session.wait_entered()
    gone = await start(lane, (2, 1), (3, 1))
    staying = await start(lane, (4, 1))
    gone.cancel()
    await settle()
    assert lane.waiting_count == 1
    assert lane.admission.in_flight == 2
    session.gate.release(2)
    await first
    assert await staying == [4.0]
    assert session.batches[1:] == [[(4, 1)]]


async def test_a_caller_that_left_during_its_run_harms_no_other(
    lane: Lane, session: GatedSession
) -> None:
    blocker = await start(lane, (1, 1))
    await session.wait_entered()
    gone, staying = await start(lane, (2, 1)), await start(lane, (3, 1))
    session.gate.release()
    await blocker
    await session.wait_entered()
    gone.cancel()
    await settle()
    session.gate.release()
    assert await staying == [3.0]


async def test_one_limit_holds_for_single_and_batch_calls(
    lane: Lane, session: GatedSession
) -> None:
    held = [await start(lane, (1, 1), (2, 1), (3, 1)), await start(lane, (4, 1))]
    with pytest.raises(Overloaded):
        await lane.encode([(5, 1), (6, 1), (7, 1)])
    held.append(await start(lane, (5, 1), (6, 1)))
    with pytest.raises(Overloaded):
        await lane.encode([(7, 1)])
    session.gate.release(10)
    await asyncio.gather(*held)
    assert await (await start(lane, (7, 1))) == [7.0]


async def test_an_error_reaches_everyone_in_the_run_and_the_lane_goes_on(
    lane: Lane, session: GatedSession
) -> None:
    blocker = await start(lane, (1, 1))
    await session.wait_entered()
    failing = [await start(lane, (2, 1), (3, 1)), await start(lane, (4, 1))]
    session.gate.release()
    await blocker
    await session.wait_entered()
    session.error = InternalError("broken")
    session.gate.release()
    for task in failing:
        with pytest.raises(InternalError):
            await task
    session.error = None
    session.gate.release()
    assert await (await start(lane, (5, 1))) == [5.0]


async def test_a_long_text_is_not_passed_over_for_ever(lane: Lane, session: GatedSession) -> None:
    blocker = await start(lane, (1, 1))
    await session.wait_entered()
    long = await start(lane, (2,) * 60)
    short = [await start(lane, (number, 1)) for number in (3, 4)]
    session.gate.release(10)
    await asyncio.gather(blocker, long, *short)
    assert [len(batch[0]) for batch in session.batches] == [2, 60, 2]


async def test_closing_waits_for_the_run_in_progress(session: GatedSession) -> None:
    lane = Lane([session], LaneOptions("test", BatchLimits(64), LIMIT))
    task = await start(lane, (1, 1))
    await session.wait_entered()
    closing = asyncio.create_task(lane.close())
    await settle()
    assert not closing.done()
    session.gate.release()
    assert await task == [1.0]
    await closing


async def test_two_sessions_run_side_by_side() -> None:
    sessions = [GatedSession(), GatedSession()]
    sessions[1].entered = sessions[0].entered
    lane = Lane(sessions, LaneOptions("test", BatchLimits(64), LIMIT))
    first = await start(lane, (1, 1))
    await sessions[0].wait_entered()
    second = await start(lane, (2, 1))
    await sessions[0].wait_entered()
    for session in sessions:
        session.gate.release()
    assert [await first, await second] == [[1.0], [2.0]]
    await lane.close()


async def test_what_does_not_fit_into_a_run_is_for_the_other_session() -> None:
    sessions = [GatedSession(), GatedSession()]
    sessions[1].entered = sessions[0].entered
    lane = Lane(sessions, LaneOptions("test", BatchLimits(4), LIMIT))
    both = await start(lane, (1,) * 4, (2,) * 4)
    for session in sessions:
        await session.wait_entered()
    for session in sessions:
        session.gate.release()
    assert await both == [1.0, 2.0]
    await lane.close()


async def test_a_short_text_that_is_alone_runs_without_a_thread(session: GatedSession) -> None:
    alone = [True]
    options = LaneOptions(
        "test", BatchLimits(64), LIMIT, inline_tokens=4, is_alone=lambda: alone[0]
    )
    lane = Lane([session], options)
    session.gate.release(4)
    (text,) = await lane.encode([(5, 1)])
    assert float(text.vector[0]) == 5.0
    assert session.threads == [threading.get_ident()]
    for texts, company in (([(6, 1)], True), ([(6,) * 5], False), ([(6, 1), (7, 1)], False)):
        alone[0] = not company
        await lane.encode(texts)
        assert session.threads[-1] != threading.get_ident()
    await lane.close()


class SteadySession:
    """Takes a millisecond of a clock of its own."""

    def __init__(self) -> None:
        self.now_ns = 1000
        self.threads: list[int] = []

    def clock(self) -> int:
        return self.now_ns

    def run(self, batch: Sequence[Ids]) -> Float32Matrix:
        self.threads.append(threading.get_ident())
        self.now_ns += 1_000_000
        return np.zeros((len(batch), 1), np.float32)


@pytest.mark.parametrize(("gap_ms", "runs_inline"), [(5, True), (4, False)])
async def test_a_call_soon_after_others_is_run_by_the_thread(
    gap_ms: int, runs_inline: bool
) -> None:
    session, alone = SteadySession(), [False]
    options = LaneOptions(
        "test", BatchLimits(64), LIMIT, inline_tokens=4, is_alone=lambda: alone[0]
    )
    lane = Lane([session], options, session.clock)
    await lane.encode([(5, 1)])
    alone[0] = True
    # The run itself took a millisecond.
    session.now_ns += (gap_ms - 1) * 1_000_000
    await lane.encode([(5, 1)])
    assert (session.threads[-1] == threading.get_ident()) is runs_inline
    await lane.close()


async def test_a_long_row_of_lone_calls_looks_around_for_company() -> None:
    session = SteadySession()
    options = LaneOptions("test", BatchLimits(64), LIMIT, inline_tokens=4, is_alone=lambda: True)
    lane = Lane([session], options, session.clock)
    for _ in range(64):
        await lane.encode([(5, 1)])
    inline = session.threads.count(threading.get_ident())
    assert len(session.threads) == 64
    assert 32 < inline < 64
    await lane.close()


@pytest.mark.parametrize("queries_come", [True, False])
async def test_bulk_work_pauses_after_a_run_only_while_queries_come(
    monkeypatch: pytest.MonkeyPatch, queries_come: bool
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("encoder_svc.lane.time.sleep", pauses.append)
    steady, asked = SteadySession(), SteadySession()
    queries = Lane([asked], LaneOptions("query", BatchLimits(64), LIMIT), clock=asked.clock)
    options = LaneOptions(
        "bulk", BatchLimits(64), LIMIT, gives_way=lambda: queries.was_asked_lately
    )
    bulk = Lane([steady], options, clock=steady.clock)
    if queries_come:
        await queries.encode([(5, 1)])
        asked.now_ns += 98_000_000
        assert queries.was_asked_lately
    await bulk.encode([(6, 1)])
    await bulk.close()
    await queries.close()
    assert pauses == ([0.001] if queries_come else [])
    asked.now_ns += 3_000_000
    assert not queries.was_asked_lately
