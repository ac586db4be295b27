"""One queue of texts and the sessions that serve it: whoever waits when one is free is batched.

Nothing ever waits on purpose. Everything but the session runs happens on the event loop, so that
no lock is needed; a text whose caller has left is out of the queue before the next batch is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from encoder_svc.session import Ids
from encoder_svc.text_batches import BatchLimits, next_batch
from retrieval_core.timing import Clock, monotonic_ns
from retrieval_core.vectors import Float32Matrix
from servicekit.admission import Admission

Float32Vector = npt.NDArray[np.float32]
_TimedRun = tuple[int, Float32Matrix, int]


class Session(Protocol):
    """What runs a batch; called from a thread of the lane."""

    def run(self, batch: Sequence[Ids]) -> Float32Matrix:
        """Encode a batch; returns [n, 768] float32."""
        ...


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """`text_limit` bounds texts waiting or running; `niceness` lowers the threads' OS priority.

    A text of at most `inline_tokens` is run on the event loop itself when `is_alone` says that no
    other call is there to be held up, and the lane has been idle for as long as its last run took:
    the way to a thread and back costs more than it then gives.
    """

    name: str
    limits: BatchLimits
    text_limit: int
    niceness: int = 0
    inline_tokens: int = 0
    is_alone: Callable[[], bool] = bool


@dataclass(frozen=True, slots=True)
class EncodedText:
    """One text's vector [768], how long it waited, and the run that it shared."""

    vector: Float32Vector
    queued_ns: int
    run_ns: int
    batch_size: int


@dataclass(eq=False, slots=True)
class _WaitingText:
    ids: Ids
    arrived_ns: int
    answer: asyncio.Future[EncodedText]
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.length = len(self.ids)


class Lane:
    """Bounded, in order of arrival, one thread a session. Make and use it on one event loop."""

    def __init__(
        self, sessions: Sequence[Session], options: LaneOptions, clock: Clock = monotonic_ns
    ) -> None:
        self.admission = Admission(options.text_limit, f"encoder lane {options.name}")
        self._limits = options.limits
        self._inline_tokens = options.inline_tokens
        self._is_alone = options.is_alone
        self._clock = clock
        self._waiting: dict[int, _WaitingText] = {}
        self._free = list(sessions)
        self._running: set[asyncio.Future[_TimedRun]] = set()
        self._scheduled = False
        self._last_end_ns = self._last_run_ns = 0
        self._executor = ThreadPoolExecutor(
            max_workers=len(sessions),
            thread_name_prefix=f"lane-{options.name}",
            initializer=partial(lower_thread_priority, options.niceness),
        )

    @property
    def waiting_count(self) -> int:
        """Texts that wait for a session."""
        return len(self._waiting)

    async def encode(self, texts: Sequence[Ids]) -> list[EncodedText]:
        """Encode texts of one call; they may be spread over runs, and share them with others.

        Raises Overloaded at once when they do not fit below the limit. When the caller is
        cancelled its texts leave the queue.
        """
        with self.admission.admitted(len(texts)):
            if self._is_short(texts):
                # Calls that have arrived, but not yet begun, begin now, and then it is not alone.
                await asyncio.sleep(0)
                if self._free and self._is_alone() and self._has_rested():
                    return [self._run_inline(texts[0])]
            queued = [self._enqueue(ids) for ids in texts]
            self._schedule()
            try:
                return [await text.answer for text in queued]
            finally:
                self._leave(queued)

    async def close(self) -> None:
        """Wait for the runs in progress, then end the threads."""
        while self._running:
            await asyncio.wait(self._running)
        self._executor.shutdown()

    def _is_short(self, texts: Sequence[Ids]) -> bool:
        return len(texts) == 1 and len(texts[0]) <= self._inline_tokens

    def _has_rested(self) -> bool:
        # Calls that come as fast as they are run may each look alone: running one holds up the
        # arrival of the next. They are better off sharing runs.
        return self._clock() - self._last_end_ns >= self._last_run_ns

    def _note_run(self, started_ns: int, ended_ns: int) -> None:
        self._last_end_ns, self._last_run_ns = ended_ns, ended_ns - started_ns

    def _run_inline(self, ids: Ids) -> EncodedText:
        started_ns, vectors, ended_ns = self._timed_run(self._free[-1], [ids])
        self._note_run(started_ns, ended_ns)
        return EncodedText(vectors[0], 0, ended_ns - started_ns, 1)

    def _enqueue(self, ids: Ids) -> _WaitingText:
        text = _WaitingText(ids, self._clock(), asyncio.get_running_loop().create_future())
        self._waiting[id(text)] = text
        return text

    def _leave(self, queued: Sequence[_WaitingText]) -> None:
        for text in queued:
            self._waiting.pop(id(text), None)
            if text.answer.done():
                # Read, so that an error that several texts share is reported only once.
                with contextlib.suppress(asyncio.CancelledError):
                    text.answer.exception()
            else:
                text.answer.cancel()

    def _schedule(self) -> None:
        # After the calls that arrived together have all been queued: they then share a run.
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = False
        loop = asyncio.get_running_loop()
        while self._free and self._waiting:
            batch = next_batch(self._waiting.values(), self._limits)
            for text in batch:
                del self._waiting[id(text)]
            session = self._free.pop()
            ids = [text.ids for text in batch]
            run = loop.run_in_executor(self._executor, self._timed_run, session, ids)
            self._running.add(run)
            run.add_done_callback(partial(self._finish, session, batch))

    def _finish(
        self, session: Session, batch: Sequence[_WaitingText], run: asyncio.Future[_TimedRun]
    ) -> None:
        self._running.discard(run)
        self._free.append(session)
        error = run.exception()
        if error is None:
            started_ns, vectors, ended_ns = run.result()
            self._note_run(started_ns, ended_ns)
            self._deliver(batch, started_ns, vectors, ended_ns)
        else:
            self._fail(batch, error)
        self._dispatch()

    @staticmethod
    def _deliver(
        batch: Sequence[_WaitingText], started_ns: int, vectors: Float32Matrix, ended_ns: int
    ) -> None:
        for text, vector in zip(batch, vectors, strict=True):
            if not text.answer.done():
                queued_ns, run_ns = started_ns - text.arrived_ns, ended_ns - started_ns
                text.answer.set_result(EncodedText(vector, queued_ns, run_ns, len(batch)))

    def _timed_run(self, session: Session, ids: Sequence[Ids]) -> _TimedRun:
        started_ns = self._clock()
        vectors = session.run(ids)
        return started_ns, vectors, self._clock()

    @staticmethod
    def _fail(batch: Sequence[_WaitingText], error: BaseException) -> None:
        for text in batch:
            if not text.answer.done():
                text.answer.set_exception(error)


def lower_thread_priority(niceness: int) -> None:
    """Make this thread yield to others when cores are short; only Linux does it by thread."""
    if niceness > 0 and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
