"""Objectives on unit vectors; every function returns a scalar mean over its rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_NO = -1e4  # a score that no other comes near, and that leaves no NaN in a divergence


def contrastive_loss(
    queries: Tensor, passages: Tensor, owners: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy of finding row owners[i] of passages [p, d] from queries [i, d] (InfoNCE)."""
    return functional.cross_entropy(queries @ passages.T / temperature, owners)


def neighbour_loss(
    passages: Tensor, candidates: Tensor, following: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy of finding the next passage of the article among the candidates.

    candidates [c, d] begin with the passages [p, d] themselves, and none is its own answer.
    following [p] holds the row of the next passage, or -1 where it is not in the batch.
    """
    known = following >= 0
    if not bool(known.any()):
        return passages.sum() * 0.0
    scores = (passages @ candidates.T / temperature).masked_fill(_itself(passages, candidates), _NO)
    return functional.cross_entropy(scores[known], following[known])


def context_loss(
    candidates: Tensor, weights: Tensor, following: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy of finding what follows a context, by the unit mean of the context's vectors.

    weights [w, p] are those of the first p candidates [c, d] in each mean, 0 outside the context;
    following [w] is the row that comes next. A context's own rows are no candidates for it.
    """
    if not len(weights):
        return candidates.sum() * 0.0
    size = weights.shape[1]
    means = functional.normalize(weights @ candidates[:size], dim=1)
    scores = means @ candidates.T / temperature
    own = functional.pad(weights > 0, (0, len(candidates) - size))
    return functional.cross_entropy(scores.masked_fill(own, _NO), following)


def cosine_distance(vectors: Tensor, targets: Tensor) -> Tensor:
    """Mean of 1 - cosine of vectors [n, d] and targets [n, d]."""
    return (1.0 - functional.cosine_similarity(vectors, targets, dim=1)).mean()


def similarity_distillation(
    queries: Tensor,
    passages: Tensor,
    teacher_queries: Tensor,
    teacher_passages: Tensor,
    temperature: float,
) -> Tensor:
    """Kullback-Leibler divergence of the student's ranking of the passages from the teacher's."""
    wanted = teacher_queries @ teacher_passages.T / temperature
    return _divergence(queries @ passages.T / temperature, wanted)


def geometry_loss(
    passages: Tensor,
    candidates: Tensor,
    teacher_passages: Tensor,
    teacher_candidates: Tensor,
    temperature: float,
) -> Tensor:
    """As `similarity_distillation`, of passages among candidates that begin with themselves."""
    itself = _itself(passages, candidates)
    wanted = (teacher_passages @ teacher_candidates.T / temperature).masked_fill(itself, _NO)
    given = (passages @ candidates.T / temperature).masked_fill(itself, _NO)
    return _divergence(given, wanted)


def _divergence(given: Tensor, wanted: Tensor) -> Tensor:
    given, wanted = functional.log_softmax(given, dim=1), functional.log_softmax(wanted, dim=1)
    return functional.kl_div(given, wanted, log_target=True, reduction="batchmean")


def _itself(passages: Tensor, candidates: Tensor) -> Tensor:
    return torch.eye(len(passages), len(candidates), dtype=torch.bool, device=passages.device)
