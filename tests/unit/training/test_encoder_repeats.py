"""Repeats are counted within their own text, and weigh less the more there are."""

from __future__ import annotations

import numpy as np

from training.encoder.repeats import Damping, repeat_counts


def test_counts_stay_within_a_row() -> None:
    ids = np.array([7, 8, 7, 7, 8, 7], dtype=np.int32)
    assert repeat_counts(ids, np.array([0, 4])).tolist() == [3, 1, 3, 3, 1, 1]


def test_no_text_has_no_counts() -> None:
    assert repeat_counts(np.array([], dtype=np.int32), np.array([], dtype=np.int64)).tolist() == []


def test_n_copies_weigh_together_about_the_root_of_n() -> None:
    counts = np.array([1, 2, 4, 8, 16])
    together = Damping().weights(counts) * counts
    np.testing.assert_allclose(together, np.sqrt(counts), rtol=0.1)
    assert Damping().weights(np.array([1])).tolist() == [1.0]


def test_without_gain_every_copy_counts_in_full() -> None:
    assert Damping(gain=0.0).weights(np.array([1, 5])).tolist() == [1.0, 1.0]
