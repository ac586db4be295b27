"""A queue of texts and the sessions that serve it: whoever waits when one is free is batched.

Nothing ever waits on purpose. A text whose caller has left is out of the queue before the next
batch is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from encoder_svc.session import Ids
from encoder_svc.text_batches import BatchLimits
from encoder_svc.text_queue import EncodedText, TextQueue, WaitingText
from retrieval_core.timing import Clock, monotonic_ns
from retrieval_core.vectors import Float32Matrix
from servicekit.admission import Admission

_CALM_NS = 5_000_000
_INLINE_RUNS = 32
_LATELY_NS = 100_000_000


class Session(Protocol):
    """What runs a batch; called from a thread of the lane, or from the event loop."""

    def run(self, batch: Sequence[Ids]) -> Float32Matrix:
        """Encode a batch; returns [n, 768] float32."""
        ...


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """`text_limit` bounds texts waiting or running; `niceness` lowers the threads' OS priority.

    A text of at most `inline_tokens` is run on the event loop itself when `is_alone` says that no
    other call is there to be held up, nor was one of late: the way to a thread and back costs more
    than it then gives. After a run a thread pauses for as long as the run took while `gives_way`.
    """

    name: str
    limits: BatchLimits
    text_limit: int
    niceness: int = 0
    inline_tokens: int = 0
    is_alone: Callable[[], bool] = bool
    gives_way: Callable[[], bool] = bool


@dataclass(frozen=True, slots=True)
class _Run:
    """A batch that was run: its vectors [n, 768], or why there are none."""

    started_ns: int
    ended_ns: int
    vectors: Float32Matrix | None
    error: Exception | None = None


class Lane:
    """Bounded, in order of arrival, one thread a session. Use it on one event loop."""

    def __init__(
        self, sessions: Sequence[Session], options: LaneOptions, clock: Clock = monotonic_ns
    ) -> None:
        self.admission = Admission(options.text_limit, f"encoder lane {options.name}")
        self._inline_tokens = options.inline_tokens
        self._is_alone = options.is_alone
        self._gives_way = options.gives_way
        self._clock = clock
        self._inline_session = sessions[-1]
        self._queue = TextQueue(options.limits)
        self._waking = False
        self._last_company_ns = -_CALM_NS
        self._last_call_ns = -_LATELY_NS
        self._inline_streak = 0
        self._threads = [
            threading.Thread(
                target=self._serve,
                args=(session, options.niceness),
                name=f"lane-{options.name}-{index}",
                daemon=True,
            )
            for index, session in enumerate(sessions)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting_count(self) -> int:
        """Texts that wait for a session."""
        return self._queue.waiting_count

    @property
    def was_asked_lately(self) -> bool:
        """Whether a call came within the last moments; any thread may ask."""
        return self._clock() - self._last_call_ns < _LATELY_NS

    async def encode(self, texts: Sequence[Ids]) -> list[EncodedText]:
        """Encode texts of one call; they may be spread over runs, and share them with others.

        Raises Overloaded at once when they do not fit below the limit. When the caller is
        cancelled its texts leave the queue.
        """
        self._last_call_ns = self._clock()
        with self.admission.admitted(len(texts)):
            if self._is_short(texts) and self._is_calm():
                # Calls that have arrived, but not yet begun, begin now, and then it is not alone.
                await asyncio.sleep(0)
                if self._is_calm() and not self._is_to_look_around():
                    return [self._run_inline(texts[0])]
            return await self._run_queued(texts)

    async def close(self) -> None:
        """Wait for the runs in progress, then end the threads."""
        self._queue.close()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _is_short(self, texts: Sequence[Ids]) -> bool:
        return len(texts) == 1 and len(texts[0]) <= self._inline_tokens

    def _is_calm(self) -> bool:
        # Once company was seen, texts are run by the thread until none is for a while: then those
        # that arrive meanwhile share a run.
        now_ns = self._clock()
        if not self._is_alone() or not self._queue.idle:
            self._last_company_ns = now_ns
        return now_ns - self._last_company_ns >= _CALM_NS

    def _is_to_look_around(self) -> bool:
        # A run on the loop holds up the arrival of the calls behind it, each of which then looks
        # alone as well. Now and then a text is run by the thread, so that they can be seen.
        self._inline_streak = (self._inline_streak + 1) % _INLINE_RUNS
        return self._inline_streak == 0

    def _run_inline(self, ids: Ids) -> EncodedText:
        started_ns = self._clock()
        vectors = self._inline_session.run([ids])
        return EncodedText(vectors[0], 0, self._clock() - started_ns, 1)

    async def _run_queued(self, texts: Sequence[Ids]) -> list[EncodedText]:
        now_ns, loop = self._clock(), asyncio.get_running_loop()
        queued = [WaitingText(ids, now_ns, loop.create_future()) for ids in texts]
        self._queue.put(queued)
        # Woken after the calls that arrived together have all been queued: they then share a run.
        if self._queue.has_sleeper and not self._waking:
            self._waking = True
            loop.call_soon(self._wake)
        try:
            return [await text.answer for text in queued]
        except BaseException:
            self._leave(queued)
            raise

    def _wake(self) -> None:
        self._waking = False
        self._queue.wake()

    def _leave(self, queued: Sequence[WaitingText]) -> None:
        self._queue.leave(queued)
        for text in queued:
            text.answer.cancel()
            # Read, so that an error that several texts share is reported only once.
            with contextlib.suppress(asyncio.CancelledError):
                text.answer.exception()

    def _serve(self, session: Session, niceness: int) -> None:
        """The body of a thread."""
        lower_thread_priority(niceness)
        while batch := self._queue.take():
            run = self._run(session, batch)
            batch[0].answer.get_loop().call_soon_threadsafe(self._finish, batch, run)
            if self._gives_way():
                # A low priority yields the core, but not the interpreter, which every run takes
                # for a while before and after.
                time.sleep((run.ended_ns - run.started_ns) / 1e9)

    def _run(self, session: Session, batch: Sequence[WaitingText]) -> _Run:
        started_ns = self._clock()
        try:
            vectors = session.run([text.ids for text in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            return _Run(started_ns, self._clock(), None, error)
        return _Run(started_ns, self._clock(), vectors)

    def _finish(self, batch: Sequence[WaitingText], run: _Run) -> None:
        self._queue.done()
        if run.vectors is None:
            self._fail(batch, run.error)
        else:
            self._deliver(batch, run, run.vectors)

    @staticmethod
    def _deliver(batch: Sequence[WaitingText], run: _Run, vectors: Float32Matrix) -> None:
        run_ns, size = run.ended_ns - run.started_ns, len(batch)
        for text, vector in zip(batch, vectors, strict=True):
            if not text.answer.done():
                queued_ns = run.started_ns - text.arrived_ns
                text.answer.set_result(EncodedText(vector, queued_ns, run_ns, size))

    @staticmethod
    def _fail(batch: Sequence[WaitingText], error: Exception | None) -> None:
        for text in batch:
            if not text.answer.done():
                text.answer.set_exception(error or RuntimeError("a run without vectors"))


def lower_thread_priority(niceness: int) -> None:
    """Make this thread yield to others when cores are short; only Linux does it by thread."""
    if niceness > 0 and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
