"""Measures how far one encoder's vectors are from its float32 reference, and judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.session import GraphRunner, TokenIds
from exporter.weights import Array

LENGTHS = (8, 16, 32, 64, 128, 256, 512)
_NEIGHBOURS = 10
_COMPANIONS = 4


@dataclass(frozen=True)
class Bounds:
    """What a model has to reach before it is published."""

    mean_cosine: float
    worst_cosine: float
    overlap: float
    invariance: float


FP32_BOUNDS = Bounds(mean_cosine=0.9999, worst_cosine=0.9999, overlap=0.99, invariance=0.99999)
INT8_BOUNDS = Bounds(mean_cosine=0.999, worst_cosine=0.995, overlap=0.97, invariance=0.99999)


@dataclass(frozen=True)
class LengthRow:
    """Fidelity of the texts of at most `tokens` tokens and more than the row before."""

    tokens: int
    texts: int
    mean_cosine: float
    worst_cosine: float


@dataclass(frozen=True)
class Fidelity:
    """One comparison: cosines to the reference, neighbours kept, and what batch-mates change."""

    texts: int
    mean_cosine: float
    worst_cosine: float
    overlap: float
    invariance: float
    by_length: tuple[LengthRow, ...]

    def summary(self) -> dict[str, Any]:
        """The figures without the table, rounded for a manifest."""
        figures = asdict(self)
        del figures["by_length"]
        return {key: round(value, 6) for key, value in figures.items()}


def measure_fidelity(
    reference: GraphRunner, candidate: GraphRunner, texts: Sequence[TokenIds]
) -> Fidelity:
    """Encode each text alone on both sides, then among others on the candidate, and compare."""
    expected = reference.encode(texts)
    alone = candidate.encode(texts)
    cosines = row_cosines(expected, alone)
    lengths = np.array([len(text) for text in texts])
    return Fidelity(
        texts=len(texts),
        mean_cosine=float(cosines.mean()),
        worst_cosine=float(cosines.min()),
        overlap=neighbour_overlap(expected, alone),
        invariance=_batch_invariance(candidate, texts, alone),
        by_length=_by_length(cosines, lengths),
    )


def misses(fidelity: Fidelity, bounds: Bounds) -> list[str]:
    """One line for every bound that is not reached; empty if all are."""
    return [
        f"{name} {getattr(fidelity, name):.6f} is below {bound}"
        for name, bound in asdict(bounds).items()
        if not getattr(fidelity, name) >= bound
    ]


def row_cosines(left: Array, right: Array) -> NDArray[np.float64]:
    """Cosine of each row of one matrix with the same row of the other, in double precision."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[np.float64] = np.einsum("ij,ij->i", a, b) / norms
    return cosines


def neighbour_overlap(expected: Array, actual: Array, k: int = _NEIGHBOURS) -> float:
    """Mean share of a text's k nearest other texts that stay when both sides change space."""
    left, right = _nearest(expected, k), _nearest(actual, k)
    kept = [len(set(a) & set(b)) / len(a) for a, b in zip(left, right, strict=True)]
    return float(np.mean(kept))


def _nearest(vectors: Array, k: int) -> list[list[int]]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    k = min(k, len(vectors) - 1)
    nearest: list[list[int]] = np.argsort(-scores, axis=1, kind="stable")[:, :k].tolist()
    return nearest


def _batch_invariance(candidate: GraphRunner, texts: Sequence[TokenIds], alone: Array) -> float:
    """Smallest cosine of a text alone with itself in a batch, which mixes short and long texts."""
    order = np.random.default_rng(0).permutation(len(texts))
    worst = 1.0
    for start in range(0, len(texts), _COMPANIONS):
        chosen = order[start : start + _COMPANIONS]
        together = candidate.run([texts[index] for index in chosen], ["sentence_embedding"])[0]
        worst = min(worst, float(row_cosines(together, alone[chosen]).min()))
    return worst


def _by_length(cosines: NDArray[np.float64], lengths: NDArray[np.int64]) -> tuple[LengthRow, ...]:
    rows = []
    lower = 0
    for upper in LENGTHS:
        chosen = cosines[(lengths > lower) & (lengths <= upper)]
        if len(chosen):
            rows.append(LengthRow(upper, len(chosen), float(chosen.mean()), float(chosen.min())))
        lower = upper
    return tuple(rows)
