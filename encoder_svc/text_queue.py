"""Texts that wait for a session: put and left on the event loop, taken by the threads that run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt

from encoder_svc.session import Ids
from encoder_svc.text_batches import BatchLimits, next_batch


@dataclass(frozen=True, slots=True)
class EncodedText:
    """One text's vector [768] float32, how long it waited, and the run that it shared."""

    vector: npt.NDArray[np.float32]
    queued_ns: int
    run_ns: int
    batch_size: int


@dataclass(eq=False, slots=True)
class WaitingText:
    """A text and where its answer goes; `length` is its tokens."""

    ids: Ids
    arrived_ns: int
    answer: asyncio.Future[EncodedText]
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.length = len(self.ids)


class TextQueue:
    """In order of arrival. A thread that finds nothing sleeps until it is woken.

    Threads take their next batch themselves, so that a session is never idle while texts wait and
    the event loop is busy with other calls.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._waiting: dict[int, WaitingText] = {}
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._sleeping_count = self._running_count = 0
        self._closed = False

    @property
    def waiting_count(self) -> int:
        """Texts not yet taken."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and every batch taken was reported as done."""
        return not self._waiting and self._running_count == 0

    @property
    def has_sleeper(self) -> bool:
        """Whether a thread sleeps; one that does not will look by itself."""
        return self._sleeping_count > 0

    def put(self, texts: Sequence[WaitingText]) -> None:
        """Have texts wait; wakes nobody, so that those that arrive together are taken together."""
        with self._lock:
            self._waiting.update((id(text), text) for text in texts)

    def leave(self, texts: Sequence[WaitingText]) -> None:
        """Take texts out that no thread has taken yet."""
        with self._lock:
            for text in texts:
                self._waiting.pop(id(text), None)

    def wake(self) -> None:
        """Wake one thread if one sleeps and anything waits."""
        with self._lock:
            self._wake_one()

    def take(self) -> list[WaitingText]:
        """The next batch, slept for where nothing waits; empty once the queue is closed."""
        while True:
            with self._lock:
                if self._closed:
                    return []
                if batch := self._next_batch():
                    return batch
                self._sleeping_count += 1
            self._wakes.get()

    def done(self) -> None:
        """Report one batch as done."""
        with self._lock:
            self._running_count -= 1

    def close(self) -> None:
        """Let every thread find an empty batch; what still waits is not run."""
        with self._lock:
            self._closed = True
            for _ in range(self._sleeping_count):
                self._wakes.put(None)
            self._sleeping_count = 0

    def _next_batch(self) -> list[WaitingText]:
        batch = next_batch(self._waiting.values(), self._limits)
        if batch:
            self._running_count += 1
            for text in batch:
                del self._waiting[id(text)]
            # What did not fit beside them is for another session.
            self._wake_one()
        return batch

    def _wake_one(self) -> None:
        if self._sleeping_count and self._waiting:
            self._sleeping_count -= 1
            self._wakes.put(None)
