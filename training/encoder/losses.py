"""Objectives on unit vectors; every function returns a scalar mean over its rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_loss(
    queries: Tensor, passages: Tensor, owners: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy of finding row owners[i] of passages [p, d] from queries [i, d] (InfoNCE)."""
    return functional.cross_entropy(queries @ passages.T / temperature, owners)


def neighbour_loss(passages: Tensor, following: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding the next passage of the article among the other rows.

    following [p] holds the row of the next passage, or -1 where it is not in the batch.
    """
    known = following >= 0
    if not bool(known.any()):
        return passages.sum() * 0.0
    scores = passages @ passages.T / temperature
    itself = torch.eye(len(passages), dtype=torch.bool, device=passages.device)
    scores = scores.masked_fill(itself, float("-inf"))
    return functional.cross_entropy(scores[known], following[known])


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
    wanted = functional.log_softmax(teacher_queries @ teacher_passages.T / temperature, dim=1)
    given = functional.log_softmax(queries @ passages.T / temperature, dim=1)
    return functional.kl_div(given, wanted, log_target=True, reduction="batchmean")
