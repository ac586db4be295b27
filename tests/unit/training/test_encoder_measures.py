"""Ranks are exact, ties cost, and the measures are what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from training.encoder.measures import exact_ranks, ranks_of_scores, retrieval_measures


def test_rank_counts_the_better_passages() -> None:
    scores = np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.1]], dtype=np.float32)
    assert ranks_of_scores(scores, np.array([2, 0])).tolist() == [1, 0]


def test_ties_count_half_rounded_up() -> None:
    scores = np.zeros((1, 4), dtype=np.float32)
    assert ranks_of_scores(scores, np.array([2])).tolist() == [2]


def test_exact_ranks_agree_with_a_full_sort_across_blocks() -> None:
    rng = np.random.default_rng(5)
    queries = rng.standard_normal((2100, 8)).astype(np.float32)
    passages = rng.standard_normal((40, 8)).astype(np.float32)
    owners = rng.integers(0, 40, 2100)
    order = np.argsort(-(queries @ passages.T), axis=1)
    expected = np.argmax(order == owners[:, None], axis=1)
    assert exact_ranks(queries, passages, owners).tolist() == expected.tolist()


def test_measures_at_their_edges() -> None:
    measures = retrieval_measures(np.array([0, 4, 5, 9, 10, 49, 50, 1000]))
    assert measures["R@1"] == pytest.approx(1 / 8)
    assert measures["R@5"] == pytest.approx(2 / 8)
    assert measures["MRR@10"] == pytest.approx((1 + 1 / 5 + 1 / 6 + 1 / 10) / 8)
    assert measures["Contain@50"] == pytest.approx(6 / 8)
