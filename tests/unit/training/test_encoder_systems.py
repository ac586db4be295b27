"""The shipped model folder ranks plain cases right, whatever the order of the texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from training.encoder.systems import FolderEmbedder, VectorSystem

FOLDER = Path(__file__).resolve().parents[3] / "encoder_svc" / "default_model"
PASSAGES = [
    "The earthquake struck Sichuan province in May 2008 and killed 69,197 people.",
    "Frédéric Chopin was a Polish composer and virtuoso pianist of the Romantic era.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
]
QUERIES = ["Which composer came from Poland?", "How do plants make sugar from light?"]


@pytest.fixture(scope="module")
def embedder() -> FolderEmbedder:
    return FolderEmbedder(FOLDER, threads=1)


def test_vectors_are_unit_and_follow_the_order_of_the_texts(embedder: FolderEmbedder) -> None:
    vectors = embedder.encode(PASSAGES, "p")
    assert vectors.shape == (3, 768)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(embedder.encode(PASSAGES[::-1], "p")[::-1], vectors, atol=1e-5)


def test_the_right_passage_comes_first(embedder: FolderEmbedder) -> None:
    ranks = VectorSystem(embedder).ranks(QUERIES, PASSAGES, np.array([1, 2]))
    assert ranks.tolist() == [0, 0]


def test_a_word_said_again_and_again_does_not_take_a_text_over(embedder: FolderEmbedder) -> None:
    """In a plain mean of tokens the repeated word is nearly all that is left."""
    text = "The museum in Warsaw shows a piano of Chopin."
    plain, repeated, word = embedder.encode([text, f"{text} {'piano ' * 8}", "piano"], "p")
    assert plain @ repeated > 0.85
    assert plain @ repeated > word @ repeated


def test_a_text_is_encoded_once_for_all_tasks() -> None:
    class Recording:
        name = "recording"

        def __init__(self) -> None:
            self.seen: list[str] = []

        def encode(self, texts: Sequence[str], label: str) -> npt.NDArray[np.float32]:
            self.seen.extend(texts)
            return np.eye(len(texts), 8, dtype=np.float32)

    recording = Recording()
    system = VectorSystem(recording)
    system.ranks(["a"], ["x", "y"], np.array([0]))
    system.ranks(["a"], ["y", "z"], np.array([0]))
    assert sorted(recording.seen) == ["a", "x", "y", "z"]
