"""The simple rules that a query model has to beat, as weights by age of the context item."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from encoder_svc.query_models import MAX_CONTEXT_ITEMS
from retrieval_core.vectors import Float32Matrix
from training.query_models.windows import Windows, padded_vectors

Weights = tuple[float, float, float, float, float]
"""Oldest first; the last is that of the passage just before the wanted one."""


def recency(factor: float) -> Weights:
    """Each step back counts `factor` of the step after it."""
    weights = [factor**age for age in range(MAX_CONTEXT_ITEMS - 1, -1, -1)]
    return weights[0], weights[1], weights[2], weights[3], weights[4]


RULES: Mapping[str, Weights] = MappingProxyType(
    {
        "last vector": (0.0, 0.0, 0.0, 0.0, 1.0),
        "mean": recency(1.0),
        "recency-weighted mean, factor 0.3": recency(0.3),
        "recency-weighted mean, factor 0.5": recency(0.5),
        "recency-weighted mean, factor 0.7": recency(0.7),
        "weights 0.05, 0.05, 0.1, 0.2, 1": (0.05, 0.05, 0.1, 0.2, 1.0),
    }
)
SERVED_RULE = "recency-weighted mean, factor 0.5"
"""What is served where no model is."""


def rule_queries(weights: Weights, windows: Windows, vectors: Float32Matrix) -> Float32Matrix:
    """The rule's vectors [n, 768], unit norm."""
    items, _ = padded_vectors(windows, vectors)
    queries = np.einsum("nid,i->nd", items, np.array(weights, np.float32))
    return np.asarray(queries / np.linalg.norm(queries, axis=1, keepdims=True), np.float32)
