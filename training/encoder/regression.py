"""Ridge regression of the teacher's vectors on the tokens of a text: the best bag in one go."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from training.encoder.repeats import Damping, repeat_counts
from training.encoder.tokens import TokenRows


@dataclass(frozen=True)
class RegressionSettings:
    """Penalties, each starting where the one before ended, and steps of conjugate gradients each.

    `*_weight` multiply both sides of the equations of one kind of text.
    """

    penalties: tuple[float, ...] = (1.0, 0.3)
    steps: int = 14
    paragraph_weight: float = 1.5
    short_weight: float = 0.7


@dataclass(frozen=True)
class TokenMatrix:
    """A sparse [n, v] by its rows: columns [m], values [m], and where each row starts [n]."""

    columns: Tensor
    values: Tensor
    starts: Tensor
    width: int

    def times(self, dense: Tensor) -> Tensor:
        """The product [n, d] with dense [v, d]."""
        return functional.embedding_bag(
            self.columns, dense, self.starts, mode="sum", per_sample_weights=self.values
        )

    def transposed(self) -> TokenMatrix:
        """[v, n]."""
        height = len(self.starts)
        ends = torch.cat([self.starts[1:], self.starts.new_tensor([len(self.columns)])])
        rows = torch.repeat_interleave(torch.arange(height), ends - self.starts)
        order = torch.argsort(self.columns, stable=True)
        counts = torch.bincount(self.columns, minlength=self.width)
        return TokenMatrix(rows[order], self.values[order], counts.cumsum(0) - counts, height)


def token_matrix(
    tokens: TokenRows, weights: npt.NDArray[np.float32], damping: Damping, scale: float
) -> TokenMatrix:
    """[n, v]: weight times damped count of each token of a text, rows of length `scale`."""
    starts = tokens.starts[:-1]
    counts = repeat_counts(tokens.ids, starts)
    values = damping.weights(counts) * weights[tokens.ids]
    # The n copies of a token are n entries that add up, so its square is n^2 times that of one.
    squares = np.add.reduceat(counts * values.astype(np.float64) ** 2, starts)
    lengths = np.repeat(np.sqrt(np.maximum(squares, 1e-18)), tokens.lengths)
    return TokenMatrix(
        torch.from_numpy(tokens.ids.astype(np.int64)),
        torch.from_numpy((values / lengths * scale).astype(np.float32)),
        torch.from_numpy(starts),
        len(weights),
    )


def stacked(matrices: Sequence[TokenMatrix]) -> TokenMatrix:
    """The rows of all matrices, which have the same width, one under another."""
    shifts = np.cumsum([0, *(len(matrix.columns) for matrix in matrices)])
    starts = [m.starts + int(shift) for m, shift in zip(matrices, shifts, strict=False)]
    return TokenMatrix(
        torch.cat([matrix.columns for matrix in matrices]),
        torch.cat([matrix.values for matrix in matrices]),
        torch.cat(starts),
        matrices[0].width,
    )


def fit_pieces(
    equations: Sequence[tuple[TokenMatrix, Tensor]], start: Tensor, settings: RegressionSettings
) -> Tensor:
    """Piece vectors [v, d] that best add up to the targets; near `start` [v, d] where few say more.

    equations: pairs of a `token_matrix` [n, v] and targets [n, d] of the same scale. Solves
    (A'A + penalty) X = A'Y + penalty start, with `start` scaled to fit the targets best.
    """
    forward = stacked([part for part, _ in equations])
    system = _System(forward, forward.transposed())
    targets = torch.cat([part for _, part in equations])
    first = forward.times(start)
    start = start * ((first * targets).sum() / (first * first).sum())
    wanted, pieces = system.backward.times(targets), start
    for penalty in settings.penalties:
        pieces = _solve(system, penalty, wanted + penalty * start, pieces, settings.steps)
    return pieces


@dataclass(frozen=True)
class _System:
    """The equations' matrix [n, v] and its transpose."""

    forward: TokenMatrix
    backward: TokenMatrix


def _solve(system: _System, penalty: float, wanted: Tensor, pieces: Tensor, steps: int) -> Tensor:
    """`steps` of conjugate gradients on all columns at once."""

    def apply(direction: Tensor) -> Tensor:
        return system.backward.times(system.forward.times(direction)) + penalty * direction

    start = time.monotonic()
    residual = wanted - apply(pieces)
    direction, size = residual, (residual**2).sum(0)
    for _ in range(steps):
        image = apply(direction)
        step = size / (direction * image).sum(0).clamp(min=1e-12)
        pieces, residual = pieces + direction * step, residual - image * step
        previous, size = size, (residual**2).sum(0)
        direction = residual + direction * (size / previous.clamp(min=1e-12))
    seconds = time.monotonic() - start
    sys.stderr.write(f"regression: penalty {penalty}: {steps} steps, {seconds:.0f} s\n")
    return pieces
