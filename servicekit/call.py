"""The call that is being answered: its deadline, its trace, how long it waited."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token

from retrieval_core.errors import Cancelled, DeadlineExceeded
from retrieval_core.timing import Clock, monotonic_ns
from servicekit.tracing import Trace, new_trace

AttributeValue = str | int | float | bool

_CURRENT: ContextVar[Call] = ContextVar("servicekit_current_call")


class Call:
    """One RPC on its server. All times are monotonic nanoseconds of `clock`.

    `bounded` says that the deadline is the caller's own, which gRPC itself watches over; otherwise
    it is the server's default.
    """

    __slots__ = (
        "_clock",
        "_gone",
        "_on_end",
        "_trailing",
        "arrived_ns",
        "bounded",
        "deadline_ns",
        "method",
        "queued_ns",
        "started",
        "trace",
    )

    def __init__(  # noqa: PLR0913 - one value each
        self,
        method: str,
        deadline_ns: int,
        *,
        trace: Trace,
        gone: Callable[[], bool],
        on_end: Callable[[Callable[[], None]], object] | None = None,
        bounded: bool = False,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.method = method
        self.bounded = bounded
        self.deadline_ns = deadline_ns
        self.trace = trace
        self.queued_ns = 0
        self.started = False
        self.arrived_ns = clock()
        self._gone = gone
        self._on_end = on_end
        self._clock = clock
        self._trailing: list[tuple[str, str | bytes]] | None = None

    @property
    def trace_id(self) -> str:
        """32 hex digits; those of the caller where it sent any."""
        return self.trace.trace_id

    @property
    def sampled(self) -> bool:
        """Whether spans of this call are kept."""
        return self.trace.sampled

    @property
    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """What goes out with the status."""
        return tuple(self._trailing or ())

    def elapsed_ns(self) -> int:
        """Time since the call arrived, waiting included."""
        return self._clock() - self.arrived_ns

    def time_left_ns(self) -> int:
        """Time until the deadline; negative after it."""
        return self.deadline_ns - self._clock()

    def time_left_s(self) -> float:
        """Time until the deadline in seconds, never negative; for `timeout=` of calls to others."""
        return max(0, self.time_left_ns()) / 1e9

    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.time_left_ns() <= 0 or self._gone()

    def raise_if_over(self) -> None:
        """Raise DeadlineExceeded or Cancelled when nobody waits for the answer any more."""
        if self.time_left_ns() <= 0:
            raise DeadlineExceeded(f"{self.method}: the deadline passed")
        if self._gone():
            raise Cancelled(f"{self.method}: the caller left")

    def on_end(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when the RPC ends or the caller leaves; at once if that was."""
        if self._on_end is not None and not self._on_end(wake):
            wake()

    def outgoing_metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata that hands the trace on to a server behind this one."""
        return (("traceparent", self.trace.traceparent()),)

    def add_trailing_metadata(self, key: str, value: str | bytes) -> None:
        """Send `value` with the status of success or error. Bytes need a key ending "-bin"."""
        if isinstance(value, bytes) != key.endswith("-bin"):
            raise ValueError(f"{key}: bytes go under a key ending -bin, and nothing else does")
        if self._trailing is None:
            self._trailing = []
        self._trailing.append((key, value))

    def add_span(
        self,
        name: str,
        started_ns: int,
        ended_ns: int,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        """Record a child span after the fact, from monotonic times; nothing when not sampled."""
        if self.trace.span is not None:
            self.trace.span.add_child(name, started_ns, ended_ns, attributes or {})


def current_call() -> Call:
    """The call that this thread or task answers. Outside of one it raises LookupError."""
    return _CURRENT.get()


def current_trace_id() -> str | None:
    """The trace id for a log line, or None outside of a call."""
    call = _CURRENT.get(None)
    return None if call is None else call.trace_id


def enter_call(call: Call) -> Token[Call]:
    """Make `call` the current one of this task or thread until leave_call."""
    return _CURRENT.set(call)


def leave_call(token: Token[Call]) -> None:
    """Undo enter_call, on the same thread."""
    _CURRENT.reset(token)


@contextmanager
def entered_call(call: Call) -> Iterator[Call]:
    """Make `call` the current one for the body."""
    token = enter_call(call)
    try:
        yield call
    finally:
        leave_call(token)


def make_call(
    method: str = "/test.Service/Method",
    *,
    time_left_ms: float = 1000.0,
    gone: Callable[[], bool] = lambda: False,
    clock: Clock = monotonic_ns,
) -> Call:
    """A call without a server, for code that runs outside of one, such as warming and tests."""
    deadline_ns = clock() + int(time_left_ms * 1e6)
    return Call(method, deadline_ns, trace=new_trace(), gone=gone, clock=clock)
