"""Moves the spread of activation channels into the weights, without changing what is computed.

A token's activations are rounded with one scale, so a channel that is always large costs all the
others their precision; T5's feed-forward part has such channels. Dividing a channel by s before
the product and multiplying the weight's row by s is exact in real numbers, and every divisor can
be folded into a weight that is there already: the norm before query, key, value and wi; the value
matrix before the attention output; the (linear) wi matrix before wo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from exporter.weights import Array, EncoderWeights, LayerWeights

# Share of the spread that moves: 0 leaves it with the activations, 1 gives it all to the weights.
DEFAULT_STRENGTH = 0.5
_SMALLEST = 1e-6


@dataclass(frozen=True)
class LayerStatistics:
    """Largest magnitude seen per channel: [d_model], [heads * d_kv], [d_model], [d_ff]."""

    qkv: Array
    output: Array
    wi: Array
    wo: Array


def layer_statistics(largest: Mapping[str, Array], index: int) -> LayerStatistics:
    """Pick one layer's channels out of an observer's outputs, keyed by product name."""
    name = f"layer{index}"
    return LayerStatistics(
        qkv=largest[f"{name}.qkv"],
        output=largest[f"{name}.output"],
        wi=largest[f"{name}.wi"],
        wo=largest[f"{name}.wo"],
    )


def migrate(
    weights: EncoderWeights, largest: Mapping[str, Array], strength: float = DEFAULT_STRENGTH
) -> EncoderWeights:
    """Weights of the same function, easier to quantise. `largest` maps product to channels."""
    layers = tuple(
        migrate_layer(layer, layer_statistics(largest, index), strength)
        for index, layer in enumerate(weights.layers)
    )
    return replace(weights, layers=layers)


def migrate_layer(
    layer: LayerWeights, statistics: LayerStatistics, strength: float
) -> LayerWeights:
    """One layer; see the module's text for where each divisor goes."""
    qkv = np.concatenate([layer.query, layer.key, layer.value], axis=1)
    at_qkv = channel_divisors(statistics.qkv, qkv, strength)
    at_output = channel_divisors(statistics.output, layer.output, strength)
    at_wi = channel_divisors(statistics.wi, np.concatenate(layer.wi, axis=1), strength)
    at_wo = channel_divisors(statistics.wo, layer.wo, strength)
    *gates, linear = (matrix * at_wi[:, None] for matrix in layer.wi)
    return LayerWeights(
        attention_norm=layer.attention_norm / at_qkv,
        query=layer.query * at_qkv[:, None],
        key=layer.key * at_qkv[:, None],
        value=layer.value * at_qkv[:, None] / at_output,
        output=layer.output * at_output[:, None],
        feed_forward_norm=layer.feed_forward_norm / at_wi,
        wi=(*gates, linear / at_wo),
        wo=layer.wo * at_wo[:, None],
    )


def channel_divisors(largest: Array, weight: Array, strength: float) -> Array:
    """What to divide each activation channel by: largest**strength / weight_row**(1 - strength).

    largest [k], weight [k, n]; returns [k] float32, positive, of geometric mean 1. A channel that
    was never seen active, or that the weight ignores, is left as it is.
    """
    row = np.abs(weight).max(axis=1)
    active = (largest > _SMALLEST) & (row > _SMALLEST)
    divisors = np.ones_like(largest, dtype=np.float64)
    divisors[active] = largest[active].astype(np.float64) ** strength / row[active].astype(
        np.float64
    ) ** (1 - strength)
    if active.any():
        divisors[active] /= np.exp(np.log(divisors[active]).mean())
    return divisors.astype(np.float32)
