"""What happens around every method, whichever the flavour of the server: no I/O, no waiting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from prometheus_client import Counter, Histogram

from retrieval_core.errors import (
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    RetrievalError,
)
from retrieval_core.timing import Clock, monotonic_ns
from servicekit.admission import Admission
from servicekit.call import Call
from servicekit.metric_names import RPC_CALLS, RPC_DROPPED, RPC_DURATION, RPC_QUEUE
from servicekit.status import (
    INTERNAL_TEXT,
    OK_NAME,
    WireStatus,
    error_from_rpc,
    is_defect,
    wire_status,
)
from servicekit.telemetry import ServiceMetrics
from servicekit.tracing import Metadata, Tracing

# A synchronous server is told of 292 billion years when a call has no deadline.
_NO_DEADLINE_S = 1e9

_LOGGER = logging.getLogger("servicekit.rpc")


@dataclass(frozen=True, slots=True)
class Method:
    """One unary method of a servicer, with its messages still as bytes on the outside.

    `name` is as metrics show it: `retrieval.v1.ShardService/Search`.
    """

    name: str
    parse: Callable[[bytes], Message]
    serialize: Callable[[Any], bytes]
    behavior: Callable[[Any, Any], Any]

    def request(self, data: bytes) -> Message:
        """Parse a request. Bytes that are no such message raise InvalidInput: UNPARSABLE."""
        try:
            return self.parse(data)
        except Exception:  # noqa: BLE001
            raise InvalidInput(
                "request", f"not a valid message of {self.name}", reason="UNPARSABLE"
            ) from None


class RpcPolicy:
    """Deadline, trace, metrics, log line and status of every call of a server."""

    def __init__(
        self,
        *,
        default_deadline_ms: float,
        admission: Admission,
        metrics: ServiceMetrics,
        tracing: Tracing,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.admission = admission
        self._default_deadline_ns = int(default_deadline_ms * 1e6)
        self._metrics = metrics
        self._tracing = tracing
        self._clock = clock
        self._series: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def begin(
        self,
        method: Method,
        metadata: Metadata,
        time_remaining_s: float | None,
        gone: Callable[[], bool],
        on_end: Callable[[Callable[[], None]], object] | None = None,
    ) -> Call:
        """The call that just arrived. `time_remaining_s` is None or huge without a deadline."""
        left_ns, bounded = self._default_deadline_ns, False
        if time_remaining_s is not None and time_remaining_s < _NO_DEADLINE_S:
            left_ns, bounded = int(time_remaining_s * 1e9), True
        return Call(
            method.name,
            self._clock() + left_ns,
            trace=self._tracing.begin(method.name, metadata),
            gone=gone,
            on_end=on_end,
            bounded=bounded,
            clock=self._clock,
        )

    def succeeded(self, call: Call) -> None:
        """Account for an answered call."""
        self._account(call, OK_NAME)

    def failed(self, call: Call, error: BaseException) -> WireStatus:
        """Account for a failed call; returns what to send instead of an answer."""
        known = _known_error(call, error)
        if not call.started:
            self._metrics.add(RPC_DROPPED, reason=known.reason)
        status = wire_status(known, text=_text_for(call, known, error))
        self._account(call, status.code.name)
        return status

    def _account(self, call: Call, code_name: str) -> None:
        elapsed_ns = call.elapsed_ns()
        series = self._series.get((call.method, code_name))
        if series is None:
            series = self._open_series(call.method, code_name)
        calls, durations = series
        calls.inc()
        durations.observe(elapsed_ns / 1e9)
        if call.queued_ns:
            self._metrics.record(RPC_QUEUE, call.queued_ns / 1e9)
        if call.trace.span is not None:
            call.trace.span.end(code_name)
        if _LOGGER.isEnabledFor(logging.DEBUG):
            _log_access(call, code_name, elapsed_ns)

    def _open_series(self, method: str, code_name: str) -> tuple[Counter, Histogram]:
        # Methods and codes are few; looking their series up by labels costs more than recording.
        series = (
            self._metrics.counter(RPC_CALLS, method=method, code=code_name),
            self._metrics.histogram(RPC_DURATION, method=method),
        )
        self._series[method, code_name] = series
        return series


def _known_error(call: Call, error: BaseException) -> RetrievalError:
    if isinstance(error, RetrievalError):
        return error
    if isinstance(error, grpc.RpcError):
        return error_from_rpc(error)
    if isinstance(error, asyncio.CancelledError):
        # gRPC cancels the task both when the caller leaves and when its deadline passes.
        over = call.time_left_ns() <= 0
        return DeadlineExceeded("the deadline passed") if over else Cancelled("the caller left")
    return InternalError(repr(error))


def _text_for(call: Call, known: RetrievalError, error: BaseException) -> str | None:
    if not is_defect(known):
        return None
    _LOGGER.error("%s failed", call.method, exc_info=error, extra={"reason": known.reason})
    return f"{INTERNAL_TEXT}; the log has it under trace_id={call.trace_id}"


def _log_access(call: Call, code_name: str, elapsed_ns: int) -> None:
    _LOGGER.debug(
        "%s %s",
        call.method,
        code_name,
        extra={
            "elapsed_ms": round(elapsed_ns / 1e6, 3),
            "queued_ms": round(call.queued_ns / 1e6, 3),
        },
    )
