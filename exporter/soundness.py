"""What can be told of a model without its source: unit norms, repeatability, batch invariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporter.fidelity import batch_cosines, by_length
from exporter.session import GraphRunner, TokenIds

MOST_NORM_ERROR = 1e-5


@dataclass(frozen=True)
class SoundnessRow:
    """Soundness of the texts of at most `tokens` tokens and more than the row before."""

    tokens: int
    texts: int
    invariance: float
    norm_error: float


@dataclass(frozen=True)
class Soundness:
    """Worst cosine of a text alone to itself in a batch, worst norm, and whether runs repeat."""

    texts: int
    invariance: float
    norm_error: float
    repeatable: bool
    by_length: tuple[SoundnessRow, ...]


def measure_soundness(candidate: GraphRunner, texts: Sequence[TokenIds]) -> Soundness:
    """Encode each text alone twice, then among others."""
    alone = candidate.encode(texts)
    cosines = batch_cosines(candidate, texts, alone)
    errors = np.abs(np.linalg.norm(alone.astype(np.float64), axis=1) - 1.0)
    lengths = np.array([len(text) for text in texts])
    return Soundness(
        texts=len(texts),
        invariance=float(cosines.min()),
        norm_error=float(errors.max()),
        repeatable=bool(np.array_equal(alone, candidate.encode(texts))),
        by_length=tuple(
            _row(upper, cosines[chosen], errors[chosen]) for upper, chosen in by_length(lengths)
        ),
    )


def _row(tokens: int, cosines: NDArray[np.float64], errors: NDArray[np.float64]) -> SoundnessRow:
    return SoundnessRow(tokens, len(cosines), float(cosines.min()), float(errors.max()))


def unsound(soundness: Soundness, least_invariance: float) -> list[str]:
    """One line for everything that is not as it has to be; empty if all is."""
    found = []
    # Written so that NaN fails too.
    if not soundness.invariance >= least_invariance:
        found.append(f"invariance {soundness.invariance:.6f} is below {least_invariance}")
    if not soundness.norm_error < MOST_NORM_ERROR:
        found.append(f"norm_error {soundness.norm_error:.1e} is not below {MOST_NORM_ERROR}")
    if not soundness.repeatable:
        found.append("repeatable: the same text gave other bytes in a second run")
    return found
