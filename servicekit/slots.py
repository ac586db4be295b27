"""Execution slots of a synchronous server: who waits is served in order, or leaves at once."""

from __future__ import annotations

import threading
from collections import deque
from typing import NoReturn

from retrieval_core.errors import DeadlineExceeded
from servicekit.call import Call


class Slots:
    """`count` calls run at once; a waiting one is dropped once nobody waits for its answer."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"a server has at least 1 slot, not {count}")
        self.count = count
        self._free = count
        self._lock = threading.Lock()
        self._waiters: deque[_Waiter] = deque()

    @property
    def waiting_count(self) -> int:
        """Calls waiting now."""
        return len(self._waiters)

    @property
    def running_count(self) -> int:
        """Calls that hold a slot now."""
        return self.count - self._free

    def acquire(self, call: Call) -> bool:
        """Take a slot, waiting in order; returns whether the call had to wait.

        Raises Cancelled or DeadlineExceeded without holding one.
        """
        waiter = self._take_or_queue()
        if waiter is None:
            return False
        call.on_end(waiter.wake)
        waiter.wait(call.time_left_s())
        self._leave_queue(waiter)
        if not waiter.granted or call.cancelled():
            self._give_up(waiter, call)
        return True

    def release(self) -> None:
        """Hand the slot to the first waiter, or free it."""
        with self._lock:
            if self._waiters:
                waiter = self._waiters.popleft()
                waiter.granted = True
                waiter.wake()
            else:
                self._free += 1

    def _take_or_queue(self) -> _Waiter | None:
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            waiter = _Waiter()
            self._waiters.append(waiter)
            return waiter

    def _leave_queue(self, waiter: _Waiter) -> None:
        with self._lock:
            if not waiter.granted:
                self._waiters.remove(waiter)

    def _give_up(self, waiter: _Waiter, call: Call) -> NoReturn:
        if waiter.granted:
            self.release()
        call.raise_if_over()
        raise DeadlineExceeded(f"{call.method}: no slot became free in time")


class _Waiter:
    __slots__ = ("_event", "granted")

    def __init__(self) -> None:
        self._event = threading.Event()
        self.granted = False

    def wake(self) -> None:
        self._event.set()

    def wait(self, timeout_s: float) -> None:
        self._event.wait(timeout_s)
