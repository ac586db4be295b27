"""Nanoseconds to and from the Duration message, exactly."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

_NS_PER_SECOND = 1_000_000_000


def duration_from_ns(elapsed_ns: int) -> Duration:
    """Exact for either sign; seconds and nanos share the sign, as the message demands."""
    seconds, nanos = divmod(abs(elapsed_ns), _NS_PER_SECOND)
    sign = -1 if elapsed_ns < 0 else 1
    return Duration(seconds=sign * seconds, nanos=sign * nanos)


def duration_to_ns(duration: Duration) -> int:
    """Exact inverse of duration_from_ns."""
    return duration.seconds * _NS_PER_SECOND + duration.nanos
