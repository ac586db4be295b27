"""Windows hold what comes before, and never reach over an article's end or a gap."""

from __future__ import annotations

import numpy as np

from training.query_models.rules import RULES, rule_queries
from training.query_models.windows import PADDING, Windows, padded_vectors, windows_of

ARTICLES = [0] * 7 + [1] * 3
POSITIONS = [*range(7), 0, 1, 3]


def test_a_window_ends_at_the_articles_start_and_at_a_gap() -> None:
    windows = windows_of(ARTICLES, POSITIONS)
    assert windows.golds.tolist() == [1, 2, 3, 4, 5, 6, 8]
    assert windows.contexts[0].tolist() == [PADDING] * 4 + [0]
    assert windows.contexts[5].tolist() == [1, 2, 3, 4, 5]
    assert windows.articles.tolist() == [0] * 6 + [1]
    assert windows.lengths.tolist() == [1, 2, 3, 4, 5, 5, 1]


def test_a_shortened_window_keeps_its_last_items() -> None:
    windows = windows_of(ARTICLES, POSITIONS)
    shortened = windows.shortened(np.full(len(windows), 2))
    assert shortened.contexts[5].tolist() == [PADDING] * 3 + [4, 5]
    assert shortened.contexts[0].tolist() == [PADDING] * 4 + [0]


def test_padding_is_zero_and_masked() -> None:
    vectors = np.eye(10, 768, dtype=np.float32)
    items, mask = padded_vectors(windows_of(ARTICLES, POSITIONS), vectors)
    assert mask[1].tolist() == [0, 0, 0, 1, 1]
    assert not items[1, :3].any()
    np.testing.assert_array_equal(items[1, 3:], vectors[:2])


def test_rules_weigh_by_age() -> None:
    vectors = np.eye(10, 768, dtype=np.float32)
    windows = Windows(np.array([[PADDING, PADDING, 0, 1, 2]]), np.array([3]), np.array([0]))
    last = rule_queries(RULES["last vector"], windows, vectors)
    np.testing.assert_array_equal(last, vectors[2:3])
    recent = rule_queries(RULES["recency-weighted mean, factor 0.5"], windows, vectors)
    np.testing.assert_allclose(recent[0, :3] / recent[0, 2], [0.25, 0.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(recent, axis=1), 1, rtol=1e-6)
