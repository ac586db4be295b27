"""Admission before work: a bounded number in flight, the rest refused at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from retrieval_core.errors import Overloaded


class Admission:
    """At most `limit` units in flight; never waits. Safe for threads and for coroutines.

    A call takes one unit; what splits into several pieces of work (a batch) takes one for each, so
    that batches cannot pass where single calls are refused.
    """

    def __init__(self, limit: int, name: str) -> None:
        if limit < 1:
            raise ValueError(f"{name}: an admission limit is at least 1, not {limit}")
        self.limit = limit
        self.name = name
        self._lock = threading.Lock()
        self._in_flight = 0
        self._refused_count = 0

    @property
    def in_flight(self) -> int:
        """Units admitted and not yet released."""
        return self._in_flight

    @property
    def refused_count(self) -> int:
        """Refusals since the start."""
        return self._refused_count

    def acquire(self, count: int = 1) -> None:
        """Take `count` units, all or none. Raises Overloaded when they do not fit."""
        with self._lock:
            if self._in_flight + count <= self.limit:
                self._in_flight += count
                return
            self._refused_count += 1
        raise Overloaded(f"{self.name} has {self.limit} calls in flight, its limit")

    def release(self, count: int = 1) -> None:
        """Give units back."""
        with self._lock:
            if count > self._in_flight:
                raise ValueError(f"{self.name}: released more than was acquired")
            self._in_flight -= count

    @contextmanager
    def admitted(self, count: int = 1) -> Iterator[None]:
        """Hold `count` units for the body. Raises Overloaded without running it."""
        self.acquire(count)
        try:
            yield
        finally:
            self.release(count)
