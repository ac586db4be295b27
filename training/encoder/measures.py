"""Retrieval measures from ranks, and exact ranks from vectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ranks = npt.NDArray[np.int64]
QUERIES_PER_BLOCK = 1024


def exact_ranks(queries: Floats, passages: Floats, owners: Ranks) -> Ranks:
    """0-based rank of passages[owners[i]] for queries[i] by inner product, over all passages.

    queries [q, d], passages [p, d], owners [q]. Passages with the same score as the right one
    count half of their number, rounded up, so that a constant model gains nothing from ties.
    """
    ranks = np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), QUERIES_PER_BLOCK):
        block = slice(start, start + QUERIES_PER_BLOCK)
        scores = queries[block] @ passages.T
        ranks[block] = ranks_of_scores(scores, owners[block])
    return ranks


def ranks_of_scores(scores: Floats, owners: Ranks) -> Ranks:
    """0-based rank of column owners[i] in row i of scores [q, p], ties counted half."""
    right = scores[np.arange(len(scores)), owners][:, None]
    better = (scores > right).sum(1)
    tied = (scores == right).sum(1) - 1
    ranks: Ranks = (better + (tied + 1) // 2).astype(np.int64)
    return ranks


def retrieval_measures(ranks: Ranks) -> Mapping[str, float]:
    """R@1, R@5, MRR@10 and Contain@50 of 0-based ranks, each the mean over the queries."""
    reciprocal = np.where(ranks < 10, 1.0 / (ranks + 1.0), 0.0)
    return {
        "R@1": float((ranks < 1).mean()),
        "R@5": float((ranks < 5).mean()),
        "MRR@10": float(reciprocal.mean()),
        "Contain@50": float((ranks < 50).mean()),
    }
