"""The weights of a T5 sentence encoder as plain float32 arrays, free of any framework."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class EncoderShape:
    """Sizes and constants of one encoder; `heads * d_kv` may differ from `d_model`."""

    d_model: int
    d_kv: int
    d_ff: int
    heads: int
    layers: int
    vocabulary: int
    norm_epsilon: float
    buckets: int
    max_distance: int
    gated: bool
    dimensions: int

    @property
    def attention_width(self) -> int:
        """Width of the concatenated heads."""
        return self.heads * self.d_kv


@dataclass(frozen=True)
class LayerWeights:
    """One encoder layer; every matrix is [inputs, outputs].

    query, key, value [d_model, heads * d_kv]; output [heads * d_kv, d_model];
    wi one matrix [d_model, d_ff], or two (gate, linear) where the model is gated;
    wo [d_ff, d_model]; both norms [d_model].
    """

    attention_norm: Array
    query: Array
    key: Array
    value: Array
    output: Array
    feed_forward_norm: Array
    wi: tuple[Array, ...]
    wo: Array


@dataclass(frozen=True)
class EncoderWeights:
    """Everything from token ids to the sentence vector before it is normalised.

    embedding [vocabulary, d_model]; relative_bias [buckets, heads]; final_norm [d_model];
    dense [d_model, dimensions]; dense_bias [dimensions] or None; dense_tanh: tanh after it.
    """

    shape: EncoderShape
    embedding: Array
    relative_bias: Array
    layers: tuple[LayerWeights, ...]
    final_norm: Array
    dense: Array
    dense_bias: Array | None
    dense_tanh: bool


def relative_buckets(shape: EncoderShape) -> NDArray[np.int64]:
    """Bucket of each key-minus-query distance from -max_distance to +max_distance.

    Beyond max_distance T5 uses the last bucket of each side, so clipping a distance into this
    range is exact for texts of any length. Returns [2 * max_distance + 1] int64.
    """
    distance = np.arange(-shape.max_distance, shape.max_distance + 1)
    side = shape.buckets // 2
    exact = side // 2
    magnitude = np.abs(distance)
    # float32 on purpose: the model was trained with buckets rounded in single precision.
    ratio = np.log(np.maximum(magnitude, 1).astype(np.float32) / np.float32(exact))
    span = np.float32(np.log(shape.max_distance / exact))
    coarse = exact + (ratio / span * np.float32(side - exact)).astype(np.int64)
    bucket = np.where(magnitude < exact, magnitude, np.minimum(coarse, side - 1))
    return (bucket + np.where(distance > 0, side, 0)).astype(np.int64)
