"""A made-up corpus whose articles wander away from their topic, and an encoder that knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows
from training.encoder.corpus import Paragraph
from training.split import Part

ARTICLES = 50
PASSAGES = 18
LIMITS: Mapping[Part, int] = {"train": 300, "validation": 100, "evaluation": 100}

Vector = np.ndarray[tuple[int], np.dtype[np.float64]]


class DriftingEncoder:
    """Articles of six fields wander away from their topic; questions lie near their passage."""

    def __init__(self, own: float = 0.6) -> None:
        """own: how much of a passage is like nothing else; with more, neighbours are harder."""
        self._own = own
        self.fingerprint = "sha256:" + "ab" * 32
        self.calls: list[str] = []

    def encode(self, texts: Sequence[str], label: str) -> Float32Matrix:
        self.calls.append(label)
        return normalize_rows(np.stack([_vector(text, self._own) for text in texts]))


def _vector(text: str, own_share: float) -> Vector:
    kind, article, position = text.split()[:3]
    number, step = int(article), int(position)
    # A walk that forgets: what follows and what came long before are equally near to the mean.
    place = _noise(1000 + number)
    for at in range(step):
        place = 0.8 * place + 0.6 * _noise(2000 + number * PASSAGES + at)
    own = _noise(50_000 + number * PASSAGES + step)
    vector: Vector = 0.7 * _noise(number % 6) + place + own_share * own
    if kind == "question":
        vector = vector + 2.0 * _noise(90_000 + number * PASSAGES + step)
    return vector


def _noise(seed: int) -> Vector:
    return np.random.default_rng(seed).standard_normal(DIMENSIONS)


def made_up_corpus(articles: int = ARTICLES) -> list[Paragraph]:
    return [
        Paragraph(
            f"Article {article}",
            position,
            f"passage {article} {position}",
            (f"question {article} {position}",),
        )
        for article in range(articles)
        for position in range(PASSAGES)
    ]
