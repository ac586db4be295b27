"""The split between two arms: fair, stable, and monotone in the percentage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_core.traffic_split import BUCKET_COUNT, bucket_of, is_canary

ROOT = Path(__file__).resolve().parents[3]
KEYS = [f"caller-{index}" for index in range(20_000)]
Percents = st.floats(0, 100, allow_nan=False)


@pytest.mark.parametrize("percent", [0, 0.5, 5, 25, 50, 100])
def test_the_share_of_callers_is_the_percentage(percent: float) -> None:
    share = sum(is_canary(key, percent) for key in KEYS) / len(KEYS)
    # Five standard deviations of a fair draw of 20,000.
    p = percent / 100
    assert abs(share - p) <= 5 * (p * (1 - p) / len(KEYS)) ** 0.5


@given(st.text(max_size=40), Percents, Percents)
def test_raising_the_percentage_only_adds_callers(key: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert not is_canary(key, low) or is_canary(key, high)


@given(st.text(max_size=40))
def test_nobody_is_on_a_canary_of_0_percent_and_everybody_on_one_of_100(key: str) -> None:
    assert not is_canary(key, 0)
    assert is_canary(key, 100)
    assert 0 <= bucket_of(key) < BUCKET_COUNT


def test_the_buckets_are_the_same_in_another_process() -> None:
    program = "from retrieval_core.traffic_split import bucket_of; print(bucket_of('caller-1'))"
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(told.stdout) == bucket_of("caller-1")
    # Held for good: a change of the hash would move callers between arms while a canary runs.
    assert [bucket_of(key) for key in ("", "caller-1", "team-ä")] == PINNED


def test_every_bucket_is_reached_about_equally_often() -> None:
    tenths = [0] * 10
    for key in KEYS:
        tenths[bucket_of(key) * 10 // BUCKET_COUNT] += 1
    assert max(tenths) - min(tenths) < 350


def test_keys_that_are_no_utf8_have_a_bucket_too() -> None:
    assert 0 <= bucket_of("\udcff") < BUCKET_COUNT


PINNED = [9546, 2306, 788]
