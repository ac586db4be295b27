"""Percentiles of a bounded window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_core.latency import LatencyWindow, percentile, summarize_ms

Samples = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=200)


@given(Samples, st.floats(0.01, 1.0))
def test_a_percentile_is_a_sample_with_its_share_at_or_below(
    samples: list[float], share: float
) -> None:
    ordered = sorted(samples)
    found = percentile(ordered, share)
    assert found in ordered
    at_or_below = sum(one <= found for one in ordered) / len(ordered)
    below = sum(one < found for one in ordered) / len(ordered)
    assert at_or_below >= share - 1e-9
    assert below < share + 1e-9


def test_percentiles_of_one_to_a_hundred() -> None:
    summary = summarize_ms([float(value) for value in range(100, 0, -1)])
    assert summary is not None
    assert (summary.count, summary.p50_ms, summary.p95_ms, summary.p99_ms) == (100, 50, 95, 99)


def test_no_samples_have_no_percentiles() -> None:
    assert summarize_ms([]) is None
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


def test_a_window_forgets_the_oldest() -> None:
    window = LatencyWindow(capacity=3)
    assert window.summary() is None
    for elapsed_ms in (900, 1, 2, 3):
        window.add_ns(elapsed_ms * 1_000_000)
    summary = window.summary()
    assert summary is not None
    assert (summary.count, summary.p50_ms, summary.p99_ms) == (3, 2.0, 3.0)
