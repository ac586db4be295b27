"""What is kept of every request sent."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval_core.timing import Timings

OK = "OK"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request; all times are monotonic nanoseconds.

    kind: text, vector or context. due_ns: when it should have been sent (in a closed loop, when it
    was). outcome: OK, or the error's class and reason. timings: the gateway's, also of an error
    where it sent them. degradations: `STEP REASON`.
    """

    kind: str
    due_ns: int
    sent_ns: int
    done_ns: int
    outcome: str
    timings: Timings | None = None
    coverage_ratio: float = 0.0
    degradations: tuple[str, ...] = ()
    release_id: str = ""

    @property
    def response_ns(self) -> int:
        """From the moment it was due: a request that had to wait for its turn waited too."""
        return self.done_ns - self.due_ns

    @property
    def client_ns(self) -> int:
        """From the moment it was sent."""
        return self.done_ns - self.sent_ns

    @property
    def lag_ns(self) -> int:
        """How late the generator sent it."""
        return self.sent_ns - self.due_ns
