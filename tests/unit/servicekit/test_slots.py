"""Slots: bounded, in order; whoever is waited for no more leaves the queue at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from retrieval_core.errors import Cancelled, DeadlineExceeded
from servicekit.call import Call, make_call
from servicekit.slots import Slots
from servicekit.tracing import new_trace


class Caller:
    """A call whose caller can leave."""

    def __init__(self) -> None:
        self.left = threading.Event()
        self.wake: Callable[[], None] | None = None
        self.queued = threading.Event()
        self.call = Call(
            "m",
            make_call(time_left_ms=20_000).deadline_ns,
            trace=new_trace(),
            gone=self.left.is_set,
            on_end=self._register,
        )

    def leave(self) -> None:
        self.left.set()
        assert self.wake is not None
        self.wake()

    def _register(self, wake: Callable[[], None]) -> bool:
        self.wake = wake
        self.queued.set()
        return True


class Waiter(threading.Thread):
    """Takes a slot and notes when, or what was raised instead."""

    def __init__(self, slots: Slots, caller: Caller, order: list[str], name: str) -> None:
        super().__init__(name=name)
        self.slots, self.caller, self.order = slots, caller, order
        self.error: Exception | None = None
        self.waited: bool | None = None

    def run(self) -> None:
        try:
            self.waited = self.slots.acquire(self.caller.call)
        except (Cancelled, DeadlineExceeded) as error:
            self.error = error
        self.order.append(self.name)

    def start_and_queue(self) -> None:
        self.start()
        assert self.caller.queued.wait(10)


def test_a_free_slot_is_taken_without_waiting() -> None:
    slots = Slots(2)
    assert slots.acquire(make_call()) is False
    assert (slots.running_count, slots.waiting_count) == (1, 0)
    slots.release()
    assert slots.running_count == 0


def test_waiters_are_served_in_order() -> None:
    slots, order = Slots(1), list[str]()
    slots.acquire(make_call())
    waiters = [Waiter(slots, Caller(), order, name) for name in "abc"]
    for waiter in waiters:
        waiter.start_and_queue()
    assert slots.waiting_count == 3
    for waiter in waiters:
        slots.release()
        waiter.join(10)
    assert order == ["a", "b", "c"]
    assert all(waiter.waited for waiter in waiters)
    assert slots.running_count == 1


def test_a_caller_that_leaves_is_dropped_where_it_waits() -> None:
    slots, order = Slots(1), list[str]()
    slots.acquire(make_call())
    first, second = (Waiter(slots, Caller(), order, name) for name in "ab")
    first.start_and_queue()
    second.start_and_queue()
    first.caller.leave()
    first.join(10)
    assert isinstance(first.error, Cancelled)
    assert slots.waiting_count == 1
    slots.release()
    second.join(10)
    assert second.error is None
    assert slots.running_count == 1


def test_waiting_ends_with_the_deadline() -> None:
    slots = Slots(1)
    slots.acquire(make_call())
    with pytest.raises(DeadlineExceeded):
        slots.acquire(make_call(time_left_ms=5))
    assert slots.waiting_count == 0
    slots.release()
    assert slots.running_count == 0


def test_a_slot_granted_too_late_goes_to_the_next() -> None:
    slots, order = Slots(1), list[str]()
    slots.acquire(make_call())
    late, next_one = (Waiter(slots, Caller(), order, name) for name in ("late", "next"))
    late.start_and_queue()
    next_one.start_and_queue()
    late.caller.left.set()  # It leaves without waking: the slot reaches it first.
    slots.release()
    late.join(10)
    next_one.join(10)
    assert isinstance(late.error, Cancelled)
    assert next_one.error is None
    assert slots.running_count == 1


def test_a_count_below_one_is_a_defect() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Slots(0)
