"""Durations keep their sub-second part, both ways."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from servicekit.durations import duration_from_ns, duration_to_ns


@given(st.integers(min_value=-(10**20), max_value=10**20))
def test_every_nanosecond_comes_back(elapsed_ns: int) -> None:
    sent = Duration.FromString(duration_from_ns(elapsed_ns).SerializeToString())
    assert duration_to_ns(sent) == elapsed_ns
    assert abs(sent.nanos) < 10**9
    assert sent.seconds * sent.nanos >= 0


@pytest.mark.parametrize(
    ("elapsed_ns", "seconds", "nanos"),
    [(8_000_000, 0, 8_000_000), (1_500_000_000, 1, 500_000_000), (-1, 0, -1)],
)
def test_known_values(elapsed_ns: int, seconds: int, nanos: int) -> None:
    assert duration_from_ns(elapsed_ns) == Duration(seconds=seconds, nanos=nanos)
