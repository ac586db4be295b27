"""Slots of an asynchronous server: in order, and never lost to a cancelled task."""

from __future__ import annotations

import asyncio

import pytest

from servicekit.aio_server import AioSlots


async def started(slots: AioSlots, order: list[str], name: str) -> asyncio.Task[None]:
    async def wait() -> None:
        await slots.wait()
        order.append(name)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    return task


async def test_waiters_are_served_in_order() -> None:
    slots, order = AioSlots(1), list[str]()
    assert slots.take()
    assert not slots.take()
    tasks = [await started(slots, order, name) for name in "abc"]
    assert slots.waiting_count == 3
    for task in tasks:
        slots.release()
        await task
    assert order == ["a", "b", "c"]
    slots.release()
    assert slots.take()


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    slots, order = AioSlots(1), list[str]()
    slots.take()
    first, second = [await started(slots, order, name) for name in "ab"]
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert slots.waiting_count == 1
    slots.release()
    await second
    assert order == ["b"]


async def test_a_slot_released_to_a_task_cancelled_just_before_goes_on() -> None:
    slots, order = AioSlots(1), list[str]()
    slots.take()
    first, second = [await started(slots, order, name) for name in "ab"]
    first.cancel()
    slots.release()  # The first has not run yet to leave the queue.
    await second
    assert order == ["b"]
    assert first.cancelled()


async def test_a_slot_granted_to_a_task_cancelled_just_after_goes_on() -> None:
    slots, order = AioSlots(1), list[str]()
    slots.take()
    first, second = [await started(slots, order, name) for name in "ab"]
    slots.release()
    first.cancel()  # It has the slot, and will never run with it.
    await second
    assert order == ["b"]
    slots.release()
    assert slots.take()
