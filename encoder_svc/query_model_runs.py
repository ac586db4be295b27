"""Runs one learned query model within a time limit, on the event loop while it is quick."""

from __future__ import annotations

import asyncio
import enum
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from encoder_svc.query_models import QueryModel
from retrieval_core.errors import RetrievalError
from retrieval_core.timing import Clock, monotonic_ns
from retrieval_core.vectors import Float32Matrix

REST_NS = 1_000_000_000
"""How long a model that was late is not waited for again."""


class FallbackReason(enum.Enum):
    """Why a model did not answer; the values are the words on the wire."""

    MISSING = "MODEL_MISSING"
    LATE = "MODEL_LATE"
    REFUSED = "MODEL_REFUSED"


@dataclass(frozen=True, slots=True)
class RunLimits:
    """After `limit_ns` nobody waits for a model, and for `rest_ns` nobody asks it again."""

    limit_ns: int
    rest_ns: int = REST_NS

    @property
    def quick_ns(self) -> int:
        """A run below this needs no thread."""
        return self.limit_ns // 2


class QueryModelRuns:
    """One model with its time limit. Make and use it on one event loop.

    As long as its runs are short they happen on the event loop: the way to a thread and back takes
    as long as the model. After two longer ones in a row (one alone may have been held up by others
    on the machine) they happen in a thread, where the wait can end. `last_run_ns` is what a run
    took before, when the model was warmed.
    """

    def __init__(
        self,
        model: QueryModel,
        limits: RunLimits,
        last_run_ns: int,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.name = model.name
        self._model = model
        self._limits = limits
        self._clock = clock
        self._recent_ns = (last_run_ns, last_run_ns)
        self._resting_until_ns: int | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=model.name)

    async def predict(self, context: Float32Matrix) -> Float32Matrix | FallbackReason:
        """The model's vector [1, 768] for context [1..5, 768], or why there is none."""
        try:
            if min(self._recent_ns) < self._limits.quick_ns:
                return self._timed_run(context)
            return await self._predict_in_thread(context)
        except RetrievalError:
            return FallbackReason.REFUSED

    def close(self) -> None:
        """Drop what waits, wait for the run in progress, end the thread."""
        self._executor.shutdown(cancel_futures=True)

    async def _predict_in_thread(self, context: Float32Matrix) -> Float32Matrix | FallbackReason:
        if self._resting_until_ns is not None and self._clock() < self._resting_until_ns:
            return FallbackReason.LATE
        started_ns = self._clock()
        run = asyncio.get_running_loop().run_in_executor(self._executor, self._timed_run, context)
        try:
            await asyncio.wait([run], timeout=self._limits.limit_ns / 1e9)
            # The loop may look late, and then find a run that was late too.
            if run.done() and self._clock() - started_ns <= self._limits.limit_ns:
                return run.result()
        finally:
            # Takes it out of the queue; a run that has begun ends by itself.
            run.cancel()
        self._resting_until_ns = self._clock() + self._limits.rest_ns
        return FallbackReason.LATE

    def _timed_run(self, context: Float32Matrix) -> Float32Matrix:
        started_ns = self._clock()
        vector = self._model.predict(context)
        self._recent_ns = (self._recent_ns[1], self._clock() - started_ns)
        return vector
