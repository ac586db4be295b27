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
    cosines = estimated_cosines(hits.projections[:candidate_count])
    # The reranker orders only candidates that were looked at; a limit may reach beyond.
    top = [one for one in ranking.order[:DIVERSITY_COUNT].tolist() if one < len(cosines)]
    return AnswerQuality(
        best_cosine,
        is_reranked,
        rank1_changed,
        len(cosines),
        near_duplicate_count(cosines),
        _mean_cosine(cosines, top),
    )


def estimated_cosines(projections: Float16Matrix) -> Float32Matrix:
    """Cosines [n, n] float32 of n projected vectors [n, p] float16, estimated.

    The quotient by the projected norms is much closer than the plain dot product where it matters:
    its error vanishes as two vectors become one.
    """
    rows = projections.astype(np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows /= np.maximum(norms, _LEAST_NORM)[:, None]
    cosines: Float32Matrix = rows @ rows.T
    return cosines


def near_duplicate_count(cosines: Float32Matrix) -> int:
    """Candidates that are nearly the same as one before them."""
    close = np.triu(cosines > NEAR_DUPLICATE_COSINE, 1)
    return int(np.count_nonzero(close.any(axis=0)))


def _mean_cosine(cosines: Float32Matrix, chosen: list[int]) -> float | None:
    count = len(chosen)
    if count < 2:
        return None
    among = cosines[np.ix_(chosen, chosen)]
    return float((among.sum() - np.trace(among)) / (count * (count - 1)))
