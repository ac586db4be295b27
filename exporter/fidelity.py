"""Measures how far one encoder's vectors are from its float32 reference, and judges it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
        """The figures and the table, rounded for a manifest."""
        figures = asdict(self)
        rows = figures.pop("by_length")
        return {**_rounded(figures), "by_length": [_rounded(row) for row in rows]}


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
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
        invariance=float(batch_cosines(candidate, texts, alone).min()),
        by_length=tuple(_row(upper, cosines[chosen]) for upper, chosen in by_length(lengths)),
    )


def misses(fidelity: Fidelity, bounds: Bounds) -> list[str]:
    """One line for every bound that is not reached; empty if all are."""
    return figures_below(vars(fidelity), bounds)


def figures_below(figures: Mapping[str, Any], bounds: Bounds) -> list[str]:
    """Like `misses`, of figures by name; one that is absent counts as missed."""
    return [
        f"{name} {figures.get(name, float('nan')):.6f} is below {bound}"
        for name, bound in asdict(bounds).items()
        if not figures.get(name, float("nan")) >= bound
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


def batch_cosines(
    candidate: GraphRunner, texts: Sequence[TokenIds], alone: Array
) -> NDArray[np.float64]:
    """Cosine of each text alone with itself in a batch, which mixes short and long texts."""
    order = np.random.default_rng(0).permutation(len(texts))
    cosines = np.empty(len(texts))
    for start in range(0, len(texts), _COMPANIONS):
        chosen = order[start : start + _COMPANIONS]
        together = candidate.run([texts[index] for index in chosen], ["sentence_embedding"])[0]
        cosines[chosen] = row_cosines(together, alone[chosen])
    return cosines


def by_length(lengths: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Each of LENGTHS that some texts fall under, with the mask of those texts."""
    lower = 0
    for upper in LENGTHS:
        chosen = (lengths > lower) & (lengths <= upper)
        if chosen.any():
            yield upper, chosen
        lower = upper


def _row(tokens: int, cosines: NDArray[np.float64]) -> LengthRow:
    return LengthRow(tokens, len(cosines), float(cosines.mean()), float(cosines.min()))
