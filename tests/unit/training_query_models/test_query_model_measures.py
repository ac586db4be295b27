"""Ranks among all candidates: the context is none, ties are no success, parts stay apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval_core.vectors import Float32Matrix, normalize_rows
from training.encoder.corpus import Paragraph
from training.query_models.material import Material, Passages, encode_material
from training.query_models.measures import (
    Candidates,
    differences,
    gold_ranks,
    means,
    measure,
    selection_score,
)
from training.query_models.windows import Windows, windows_of

AXES = np.eye(6, 768, dtype=np.float32)


def test_the_context_is_no_candidate() -> None:
    windows = Windows(np.array([[-1, -1, -1, 0, 1]]), np.array([2]), np.array([0]))
    query = normalize_rows(np.array([[5.0, 4.0, 1.0, 2.0]]) @ AXES[:4])
    # Without the context only row 3 is nearer than the gold.
    assert gold_ranks(query, windows, Candidates(np.arange(6), AXES)).tolist() == [2]
    # Rows are those of the corpus, whatever is left out of the candidates.
    kept = np.array([0, 1, 2, 5])
    assert gold_ranks(query, windows, Candidates(kept, AXES[kept])).tolist() == [1]


def test_a_tie_is_no_success() -> None:
    windows = Windows(np.array([[-1, -1, -1, -1, 0]]), np.array([1]), np.array([0]))
    same = np.ascontiguousarray(AXES[[0, 1, 1]])
    assert gold_ranks(AXES[1:2], windows, Candidates(np.arange(3), same)).tolist() == [2]


def test_measures_their_means_and_what_is_chosen_by() -> None:
    found = measure(np.array([1, 4, 40, 400]))
    assert means(found) == {
        "R@1": 0.25,
        "R@5": 0.5,
        "MRR@10": pytest.approx((1 + 0.25) / 4),
        "Contain@50": 0.75,
    }
    assert selection_score(found) == pytest.approx((0.5 + 0.3125 + 0.75) / 3)


def test_differences_are_paired_and_drawn_by_article() -> None:
    windows = windows_of([0] * 3 + [1] * 3, [0, 1, 2] * 2)
    before, after = measure(np.array([9, 9, 9, 9])), measure(np.array([1, 1, 9, 9]))
    found = differences(before, after, windows)["R@1"]
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)


def material() -> Material:
    parts = ["train"] * 3 + ["validation"] * 2 + ["evaluation"] + ["train"] * 2
    articles = [0, 0, 0, 1, 1, 2, 3, 3]
    vectors = normalize_rows(np.random.default_rng(0).normal(size=(8, 768)))
    windows = windows_of(articles, [0, 1, 2, 0, 1, 0, 0, 1])
    passages = Passages(vectors, np.array(articles), windows)
    return Material(passages, parts, ["a", "b", "c", "d"])  # type: ignore[arg-type]


def test_training_meets_no_passage_of_another_part() -> None:
    found = material()
    (whole,) = found.training_passages()
    kept = [0, 1, 2, 6, 7]
    np.testing.assert_array_equal(whole.vectors, found.paragraphs.vectors[kept])
    assert whole.articles.tolist() == [0, 0, 0, 3, 3]
    assert whole.windows.golds.tolist() == [1, 2, 4]
    assert whole.windows.contexts[1].tolist() == [-1, -1, -1, 0, 1]
    assert found.candidates("train").rows.tolist() == kept
    assert found.candidates("validation").rows.tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert found.candidates("evaluation").rows.tolist() == list(range(8))
    assert found.windows("validation").golds.tolist() == [4]
    assert len(found.windows("validation", whole=True)) == 0


class CountingEncoder:
    """Vectors by length of the text; counts what it is asked for."""

    fingerprint = "sha256:test"

    def __init__(self) -> None:
        self.count = 0

    def encode(self, texts: list[str], label: str) -> Float32Matrix:
        self.count += len(texts)
        return np.eye(len(texts), 768, dtype=np.float32)


def test_paragraphs_are_encoded_once(tmp_path: Path) -> None:
    paragraphs = [Paragraph("one", place, f"text {place}", ()) for place in range(3)]
    encoder = CountingEncoder()
    for _ in range(2):
        found = encode_material(paragraphs, encoder, tmp_path, None)  # type: ignore[arg-type]
    assert encoder.count == 3
    assert found.pieces is None
    assert found.paragraphs.windows.golds.tolist() == [1, 2]
