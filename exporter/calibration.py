"""Watches what enters each product of the float32 encoder over a few hundred texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter.session import GraphRunner, TokenIds
from exporter.t5_graph import OBSERVED_PREFIX, write_observer
from exporter.weights import Array, EncoderWeights


def largest_activations(weights: EncoderWeights, texts: Sequence[TokenIds]) -> dict[str, Array]:
    """Largest magnitude per channel entering each product, keyed by the product's name."""
    runner = GraphRunner(write_observer(weights).SerializeToString())
    names = [name for name in runner.output_names() if name.startswith(OBSERVED_PREFIX)]
    largest: dict[str, Array] = {}
    for text in texts:
        for name, seen in zip(names, runner.run([text], names), strict=True):
            product = name.removeprefix(OBSERVED_PREFIX)
            largest[product] = np.maximum(largest.get(product, seen), seen)
    return largest
