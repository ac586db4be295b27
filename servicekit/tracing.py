"""Traces: the W3C traceparent of every call; spans only of those that are sampled."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

TRACEPARENT = "traceparent"

Attributes = Mapping[str, str | int | float | bool]
Metadata = Iterable[tuple[str, str | bytes]]

_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


class CallSpan(Protocol):
    """The span of one sampled call."""

    @property
    def trace_id(self) -> str:
        """32 hex digits."""

    @property
    def span_id(self) -> str:
        """16 hex digits."""

    def add_child(self, name: str, started_ns: int, ended_ns: int, attributes: Attributes) -> None:
        """Record a finished child; times are monotonic nanoseconds."""

    def end(self, code_name: str) -> None:
        """Finish the span of the call itself."""


class SpanStarter(Protocol):
    """Makes the spans of sampled calls and ships them."""

    def start(self, method: str, parent: TraceParent | None) -> CallSpan:
        """Begin the span of a call that is sampled."""

    def close(self, timeout_ms: int) -> None:
        """Ship what is left, for at most `timeout_ms`."""


@dataclass(frozen=True, slots=True)
class TraceParent:
    """What a caller sent: its trace, its span, whether it is sampled."""

    trace_id: str
    span_id: str
    sampled: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a call stands in its trace; `span` is there only when spans are kept here."""

    trace_id: str
    sampled: bool
    span: CallSpan | None = None

    def traceparent(self) -> str:
        """The header for a call to another server."""
        span_id = random_hex(64) if self.span is None else self.span.span_id
        return f"00-{self.trace_id}-{span_id}-{'01' if self.sampled else '00'}"


def new_trace(*, sampled: bool = False) -> Trace:
    """A trace that begins here."""
    return Trace(random_hex(128), sampled)


def parse_traceparent(value: str) -> TraceParent | None:
    """Read a W3C traceparent of version 00; None for anything else, which then is ignored."""
    match = _FORM.fullmatch(value)
    if match is None or match[1] == _NO_TRACE or match[2] == _NO_SPAN:
        return None
    return TraceParent(match[1], match[2], bool(int(match[3], 16) & 1))


def random_hex(bits: int) -> str:
    """An id for traces and spans; it needs no secrecy, and all zeros would mean "none"."""
    return f"{random.getrandbits(bits) or 1:0{bits // 4}x}"


class Tracing:
    """Decides which calls are sampled.

    A caller's decision holds; `ratio` applies to calls that bring no trace. Without `spans` nothing
    is kept here, but the decision still travels on to servers that keep theirs.
    """

    def __init__(self, *, ratio: float = 0.0, spans: SpanStarter | None = None) -> None:
        self._ratio = ratio
        self._spans = spans

    def begin(self, method: str, metadata: Metadata) -> Trace:
        """The trace of an arriving call, its span begun when it is sampled."""
        parent = _received_parent(metadata)
        sampled = self._draw() if parent is None else parent.sampled
        if sampled and self._spans is not None:
            span = self._spans.start(method, parent)
            return Trace(span.trace_id, sampled, span)
        return Trace(random_hex(128) if parent is None else parent.trace_id, sampled)

    def close(self, timeout_ms: int = 1000) -> None:
        """Ship what is left, for at most `timeout_ms`, whatever the collector does."""
        if self._spans is not None:
            self._spans.close(timeout_ms)

    def _draw(self) -> bool:
        return self._ratio > 0 and random.random() < self._ratio  # noqa: S311


def _received_parent(metadata: Metadata) -> TraceParent | None:
    for key, value in metadata:
        if key == TRACEPARENT and isinstance(value, str):
            return parse_traceparent(value)
    return None
