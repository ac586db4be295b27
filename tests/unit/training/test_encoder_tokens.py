"""Token rows are cut and padded exactly."""

from __future__ import annotations

import numpy as np
import pytest

from training.encoder.tokens import END_ID, TokenRows


@pytest.fixture
def tokens() -> TokenRows:
    return TokenRows(np.arange(10, 19, dtype=np.int32), np.array([0, 3, 4, 9]))


def test_flat_cuts_rows_and_says_where_they_start(tokens: TokenRows) -> None:
    ids, offsets = tokens.flat(np.array([2, 0]), limit=2)
    assert ids.tolist() == [14, END_ID, 10, END_ID]
    assert offsets.tolist() == [0, 2]


def test_flat_leaves_a_row_that_fits_as_it_is(tokens: TokenRows) -> None:
    ids, _ = tokens.flat(np.array([0, 1]), limit=3)
    assert ids.tolist() == [10, 11, 12, 13]
    assert tokens.ids.tolist() == list(range(10, 19))


def test_padded_fills_with_zero_and_masks_it(tokens: TokenRows) -> None:
    ids, mask = tokens.padded(np.array([1, 2]), limit=4)
    assert ids.tolist() == [[13, 0, 0, 0], [14, 15, 16, END_ID]]
    assert mask.tolist() == [[1, 0, 0, 0], [1, 1, 1, 1]]
