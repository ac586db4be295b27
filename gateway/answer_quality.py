"""How good an answer looks without a truth: near-duplicates, diversity, what the reranker changed.

Cosines between candidates are estimated from the projections that travel with the hits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.answer import Found
from retrieval_core.vectors import Float16Matrix, Float32Matrix

NEAR_DUPLICATE_COSINE = 0.98
DIVERSITY_COUNT = 5

_LEAST_NORM = 1e-6


@dataclass(frozen=True, slots=True)
class AnswerQuality:
    """What can be said of one answer.

    `best_cosine` is None without candidates. `candidate_count` and `near_duplicate_count` are 0 and
    `top_cosine` (mean cosine among the best five) None without projections.
    """

    best_cosine: float | None
    is_reranked: bool
    rank1_changed: bool
    candidate_count: int = 0
    near_duplicate_count: int = 0
    top_cosine: float | None = None


def quality_of(found: Found, candidate_count: int) -> AnswerQuality:
    """Look at the best `candidate_count` candidates of an answer."""
    hits, ranking = found.merged.hits, found.ranking
    if not len(hits):
        return AnswerQuality(None, is_reranked=False, rank1_changed=False)
    best_cosine, is_reranked = float(hits.scores[0]), ranking.answer is not None
    rank1_changed = is_reranked and int(ranking.order[0]) != 0
    if hits.projections is None:
        return AnswerQuality(best_cosine, is_reranked, rank1_changed)
    rows = unit_projections(hits.projections)
    return AnswerQuality(
        best_cosine,
        is_reranked,
        rank1_changed,
        len(rows[:candidate_count]),
        near_duplicate_count(rows[:candidate_count]),
        mean_cosine(rows[ranking.order[:DIVERSITY_COUNT]]),
    )


def unit_projections(projections: Float16Matrix) -> Float32Matrix:
    """Projected vectors [n, p] float16 as rows of norm 1, whose dot products estimate cosines.

    These quotients are much closer than plain dot products where it matters: their error vanishes
    as two vectors become one.
    """
    rows = projections.astype(np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows /= np.maximum(norms, _LEAST_NORM)[:, None]
    return rows


def near_duplicate_count(rows: Float32Matrix) -> int:
    """Candidates, as unit rows best first, that are nearly the same as one before them."""
    close = (rows @ rows.T) > NEAR_DUPLICATE_COSINE
    # Close to nothing but itself: nearly every answer is like that, and it is found out fast.
    if np.count_nonzero(close) <= len(rows):
        return 0
    return int(np.count_nonzero(np.triu(close, 1).any(axis=0)))


def mean_cosine(rows: Float32Matrix) -> float | None:
    """Mean cosine among unit rows [n, p], each with each other; None for fewer than two."""
    count = len(rows)
    if count < 2:
        return None
    # The squared norm of the sum is all the cosines, the ones of each with itself included.
    total = rows.sum(axis=0)
    return float((total @ total - count) / (count * (count - 1)))
