"""The verdict of the encoder's benchmark; what it times is torch, so it is tested here."""

from __future__ import annotations

from typing import Any

from benchmarks.encoder.contenders import NAMES, OPTIMUM, TORCH
from benchmarks.encoder.graphs import format_table, missed_bounds


def table(threads: int, tokens: int, **medians: float) -> dict[str, Any]:
    names = {"torch": TORCH, "optimum": OPTIMUM, "ours": NAMES[-1]}
    timings = {names[key]: {"median_ms": value} for key, value in medians.items()}
    rows = [{"tokens": tokens, "timings": timings}]
    return {"threads": threads, "rounds": 1, "rows": rows, "problems": {"x": "no such module"}}


def test_a_bound_is_missed_by_too_little_and_by_nothing_measured() -> None:
    good = table(2, 16, torch=50.0, optimum=25.0, ours=10.0)
    assert missed_bounds([table(1, 16, ours=1.0), good]) == []
    (slow,) = missed_bounds([table(2, 16, torch=50.0, optimum=24.9, ours=10.0)])
    assert OPTIMUM in slow
    (absent,) = missed_bounds([table(2, 16, optimum=25.0, ours=10.0)])
    assert TORCH in absent
    (unmeasured,) = missed_bounds([table(2, 8, torch=50.0, optimum=25.0, ours=10.0)])
    assert "not measured" in unmeasured


def test_the_table_names_who_does_not_run() -> None:
    text = format_table(table(2, 16, torch=50.0, optimum=25.0, ours=10.0))
    assert "5.0x" in text
    assert "x: does not run: no such module" in text
