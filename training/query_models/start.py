"""Where training starts: a map of the query that is computed, not learned step by step.

Directions in which a passage differs little from its context, but articles differ from each other,
tell articles apart; those in which neighbours differ are noise. Dividing by the covariance of the
differences weighs each direction so (linear discriminant analysis; passages stay where they are, so
the whole weight goes to the query).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrieval_core.vectors import Float32Matrix
from training.query_models.material import Passages
from training.query_models.rules import RULES, SERVED_RULE, rule_queries


def discriminant_map(passages: Sequence[Passages], shrinkage: float) -> Float32Matrix:
    """The inverse covariance [768, 768] of next passage minus recency-weighted mean; symmetric.

    shrinkage: how much of the mean variance is added to every direction. It is scaled so that the
    mapped contexts have the length 1 in the mean square.
    """
    contexts, nexts = zip(*(_pairs(each) for each in passages), strict=True)
    context, following = np.concatenate(contexts), np.concatenate(nexts)
    differences = (following - context).astype(np.float64)
    covariance = differences.T @ differences / len(differences)
    variance = np.trace(covariance) / len(covariance)
    inverse = np.linalg.inv(covariance + shrinkage * variance * np.eye(len(covariance)))
    mapped = context @ inverse
    length = np.sqrt(np.einsum("ij,ij->i", mapped, mapped).mean())
    return np.asarray(inverse / length, np.float32)


def _pairs(passages: Passages) -> tuple[Float32Matrix, Float32Matrix]:
    windows = passages.windows
    context = rule_queries(RULES[SERVED_RULE], windows, passages.vectors)
    return context, passages.vectors[windows.golds]
