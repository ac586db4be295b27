"""What happens once an answer is out: metrics, percentiles, and whoever else wants to know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.answer import Answer
from gateway.arm_observing import ERROR, outcome_of
from gateway.observing import Observer
from gateway.query import SearchQuery
from gateway.routing import Arm, Traffic
from retrieval_core.timing import Timings
from servicekit.call import Call


@dataclass(frozen=True, slots=True)
class Answered:
    """One answered query, the arm that answered it, and the traffic it was routed by.

    `is_sampled`: it was decided beforehand that the answer is to be explained in the log.
    """

    query: SearchQuery
    traffic: Traffic
    arm: Arm
    answer: Answer
    timings: Timings
    trace_id: str = ""
    is_sampled: bool = False


Follower = Callable[[Answered], None]


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Recorder:
    """Takes note of every query. `followers` are told of answered ones last.

    `samples` says before a query whether it is to be explained.
    """

    observer: Observer
    followers: Sequence[Follower] = ()
    samples: Callable[[], bool] = _never

    def record_later(self, answered: Answered) -> None:
        """Record once the answer is out; nobody waits for the metrics."""
        asyncio.get_running_loop().call_soon(self._record, answered)

    @contextmanager
    def noting_failure(self, arm: Arm, call: Call, *, brings_fingerprint: bool) -> Iterator[None]:
        """Count what the body raises against the arm; a caller that left counts for nothing."""
        try:
            yield
        except asyncio.CancelledError:
            # gRPC cancels both when the caller leaves and when its deadline has passed.
            if call.time_left_ns() <= 0:
                arm.observer.failed(ERROR)
            raise
        except Exception as error:
            arm.observer.failed(outcome_of(error, brings_fingerprint=brings_fingerprint))
            raise

    def _record(self, answered: Answered) -> None:
        answer, kind = answered.answer, answered.query.subject.kind
        series_ns = self.observer.record(
            kind, answered.timings, answer.coverage, answer.degradations
        )
        answered.arm.observer.answered(kind, series_ns, answer)
        for follow in self.followers:
            follow(answered)
