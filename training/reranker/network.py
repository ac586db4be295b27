"""The two-layer network in numpy: scores, listwise loss and its gradient.

The network is small enough that no framework is needed; a test holds the gradient against finite
differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Golds = npt.NDArray[np.int64]

CLIP = 6.0
"""Standardised features beyond this size are cut: the network never saw more."""

_SMALLEST_SCALE = 1e-4
_ABSENT = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Standardisation:
    """x -> (x - means) * inverse_scales, cut at CLIP. Both [f] float32."""

    means: Floats
    inverse_scales: Floats

    @classmethod
    def of(cls, features: Floats, mask: Mask) -> Self:
        """From features [q, n, f] where mask [q, n] is true; a constant feature becomes 0."""
        rows = features[mask].astype(np.float64)
        scales = rows.std(axis=0)
        inverse = np.where(scales > _SMALLEST_SCALE, 1.0 / np.maximum(scales, _SMALLEST_SCALE), 0.0)
        return cls(rows.mean(axis=0).astype(np.float32), inverse.astype(np.float32))

    def apply(self, features: Floats) -> Floats:
        """features [..., f] to the same shape."""
        scaled = (features - self.means) * self.inverse_scales
        return np.asarray(np.clip(scaled, -CLIP, CLIP), np.float32)


@dataclass(frozen=True, slots=True)
class Network:
    """score = relu(x @ hidden + bias) @ output; hidden [f, h], bias [h], output [h], float32."""

    hidden: Floats
    bias: Floats
    output: Floats

    @classmethod
    def starting_at(cls, feature: int, feature_count: int, units: int, seed: int) -> Self:
        """A network that orders by one feature alone: two units carry it, the rest say little."""
        generator = np.random.default_rng(seed)
        hidden = generator.normal(0, 1 / np.sqrt(feature_count), (feature_count, units))
        output = generator.normal(0, 0.05, units)
        hidden[:, :2] = 0.0
        hidden[feature, 0], hidden[feature, 1] = 1.0, -1.0
        output[:2] = 1.0, -1.0
        bias = np.zeros(units)
        return cls(*(array.astype(np.float32) for array in (hidden, bias, output)))

    def scores(self, inputs: Floats) -> Floats:
        """inputs [..., f] standardised; returns [...] float32."""
        activations = np.maximum(inputs @ self.hidden + self.bias, 0.0)
        return np.asarray(activations @ self.output, np.float32)

    def parameters(self) -> tuple[Floats, Floats, Floats]:
        """The arrays in the order of the fields."""
        return self.hidden, self.bias, self.output


def listwise_loss(scores: Floats, mask: Mask, golds: Golds) -> tuple[float, Floats]:
    """Mean of -log softmax(scores)[gold] over lists, and its gradient by the scores.

    scores [q, n], mask [q, n] true where a candidate is, golds [q] the column of the right one.
    """
    rows = np.arange(len(golds))
    present = np.where(mask, scores, _ABSENT)
    shifted = present - present.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(axis=1, keepdims=True)
    loss = float((np.log(totals[:, 0]) - shifted[rows, golds]).mean())
    gradient = exponentials / totals
    gradient[rows, golds] -= 1.0
    return loss, gradient / np.float32(len(golds))


def loss_and_gradients(
    network: Network, inputs: Floats, mask: Mask, golds: Golds
) -> tuple[float, tuple[Floats, Floats, Floats]]:
    """Loss over lists inputs [q, n, f], and the gradients in the order of the parameters."""
    flat = inputs.reshape(-1, inputs.shape[-1])
    before = flat @ network.hidden + network.bias
    activations = np.maximum(before, 0.0)
    scores = (activations @ network.output).reshape(mask.shape)
    loss, by_scores = listwise_loss(scores, mask, golds)
    by_score = by_scores.reshape(-1)
    by_before = np.multiply.outer(by_score, network.output) * (before > 0)
    return loss, (flat.T @ by_before, by_before.sum(axis=0), activations.T @ by_score)
