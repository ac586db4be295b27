"""Bitmaps of allowed rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from index_svc.selection import RowSelector, Selection
from retrieval_core.hits import Int64Array

NAMES = ["big", "small", "tiny"]


def selector(count: int = 500) -> tuple[RowSelector, list[int], Int64Array]:
    # Almost all rows are of one lane, so that lanes are kept in both ways.
    codes = [0] * count
    codes[7] = codes[8] = codes[count - 3] = 1
    codes[9] = 2
    passage_ids = np.random.default_rng(0).permutation(10 * count)[:count].astype(np.int64)
    return RowSelector(NAMES, np.array(codes, np.int32), passage_ids), codes, passage_ids


def rows_of(selection: Selection, count: int) -> set[int]:
    assert selection.bitmap is not None
    bits = np.unpackbits(selection.bitmap, bitorder="little")[:count]
    return set(np.flatnonzero(bits).tolist())


def test_without_conditions_there_is_no_bitmap() -> None:
    made, _, _ = selector()
    assert made.select((), np.empty(0, np.int64)) == Selection(500, None)
    # Ids that are not here exclude nothing.
    assert made.select((), np.array([-1, 10**15])) == Selection(500, None)


@given(
    lanes=st.lists(st.sampled_from([*NAMES, "nowhere"]), min_size=1, max_size=4),
    excluded=st.lists(st.integers(0, 499), max_size=60),
)
def test_rows_are_those_of_the_lanes_less_the_excluded(
    lanes: list[str], excluded: list[int]
) -> None:
    made, codes, passage_ids = selector()
    selection = made.select(lanes, passage_ids[np.array(excluded, np.int64)])
    expected = {row for row, code in enumerate(codes) if NAMES[code] in lanes} - set(excluded)
    assert rows_of(selection, 500) == expected
    assert selection.available == len(expected)


@given(excluded=st.lists(st.integers(0, 12), min_size=1, max_size=20))
def test_excluded_rows_alone_leave_the_others(excluded: list[int]) -> None:
    made, _, passage_ids = selector(13)
    selection = made.select((), passage_ids[np.array(excluded)])
    assert rows_of(selection, 13) == set(range(13)) - set(excluded)
    assert selection.available == 13 - len(set(excluded))


def test_a_selection_does_not_change_the_next() -> None:
    made, _, passage_ids = selector()
    none = np.empty(0, np.int64)
    # Of the first hundred rows, 97 are of the big lane.
    assert made.select(("big",), passage_ids[:100]).available == 496 - 97
    again = made.select(("big",), none)
    assert again.available == 496
    assert len(rows_of(again, 500)) == 496


def test_lanes_that_are_not_here_are_named_once() -> None:
    made, _, _ = selector()
    assert made.lanes == ("big", "small", "tiny")
    assert made.unknown_lanes(("x", "big", "y", "x")) == ("x", "y")
