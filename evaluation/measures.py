"""Measures of one ranking a query: recall, reciprocal rank, nDCG, containment, near-duplicates.

Every measure returns one value a query, so that means, intervals and paired differences are all
taken from the same numbers (evaluation.intervals). Relevance is binary.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PerQuery = npt.NDArray[np.float64]
"""[queries] float64."""

RECALL_DEPTHS = (1, 3, 5, 10, 20, 50)
CONTAIN_DEPTHS = (20, 50)
NEAR_DUPLICATE_COSINE = 0.98


@dataclass(frozen=True, slots=True)
class RankedRelevance:
    """What was relevant where.

    `relevant` [queries, depth] bool, best rank first; a list that ended early is False to the end.
    `relevant_counts` [queries] int64: how many passages of the corpus are relevant, at least 1.
    """

    relevant: npt.NDArray[np.bool_]
    relevant_counts: npt.NDArray[np.int64]

    @property
    def depth(self) -> int:
        """How many ranks were kept."""
        return int(self.relevant.shape[1])

    def __len__(self) -> int:
        return len(self.relevant_counts)


def judge_rankings(
    rankings: Sequence[Sequence[Hashable]],
    gold: Sequence[Collection[Hashable]],
    *,
    depth: int = 50,
) -> RankedRelevance:
    """Compare ranked passage ids with the relevant ones of each query.

    rankings: one list of ids a query, best first, of any length; gold: the relevant ids.
    ValueError for lists of different lengths, a query without gold, or an id ranked twice.
    """
    if len(rankings) != len(gold):
        raise ValueError(f"{len(rankings)} rankings, but {len(gold)} sets of relevant passages")
    relevant = np.zeros((len(gold), depth), np.bool_)
    for row, (ranking, wanted) in enumerate(zip(rankings, gold, strict=True)):
        if not wanted:
            raise ValueError(f"query {row} has no relevant passage")
        if len(set(ranking)) != len(ranking):
            raise ValueError(f"query {row} ranks a passage twice")
        wanted_set = set(wanted)
        found = [passage_id in wanted_set for passage_id in ranking[:depth]]
        relevant[row, : len(found)] = found
    return RankedRelevance(relevant, np.array([len(set(ids)) for ids in gold], np.int64))


def judge_gold_ranks(gold_ranks: npt.NDArray[np.int64], *, depth: int = 50) -> RankedRelevance:
    """The same for one relevant passage a query: gold_ranks [queries] from 1, 0 for not found."""
    relevant = gold_ranks[:, None] == np.arange(1, depth + 1)[None, :]
    return RankedRelevance(relevant, np.ones(len(gold_ranks), np.int64))


def recall_at(judged: RankedRelevance, k: int) -> PerQuery:
    """Share of the relevant passages that the first k ranks hold."""
    _check_depth(judged, k)
    found = judged.relevant[:, :k].sum(axis=1, dtype=np.float64)
    return np.asarray(found / judged.relevant_counts, np.float64)


def contain_at(judged: RankedRelevance, k: int) -> PerQuery:
    """1 where the first k ranks hold any relevant passage, else 0."""
    _check_depth(judged, k)
    return np.asarray(judged.relevant[:, :k].any(axis=1), np.float64)


def reciprocal_rank(judged: RankedRelevance, k: int | None = None) -> PerQuery:
    """1 / rank of the first relevant passage within the first k (default: all kept), else 0."""
    depth = judged.depth if k is None else k
    _check_depth(judged, depth)
    window = judged.relevant[:, :depth]
    first = window.argmax(axis=1)
    return np.where(window.any(axis=1), 1.0 / (first + 1.0), 0.0)


def ndcg_at(judged: RankedRelevance, k: int) -> PerQuery:
    """Discounted gain over the best possible one, discount 1 / log2(rank + 1)."""
    _check_depth(judged, k)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    gained = judged.relevant[:, :k] @ discounts
    ideal = np.cumsum(discounts)[np.minimum(judged.relevant_counts, k) - 1]
    return np.asarray(gained / ideal, np.float64)


def all_measures(judged: RankedRelevance) -> Mapping[str, PerQuery]:
    """Every reported measure by name, in the order of reports. Needs a depth of 50 or more."""
    return {
        **{f"R@{k}": recall_at(judged, k) for k in RECALL_DEPTHS},
        "MRR": reciprocal_rank(judged),
        "MRR@10": reciprocal_rank(judged, 10),
        "nDCG@10": ndcg_at(judged, 10),
        **{f"Contain@{k}": contain_at(judged, k) for k in CONTAIN_DEPTHS},
    }


def near_duplicate_share(
    vectors: npt.NDArray[np.float32], *, cosine: float = NEAR_DUPLICATE_COSINE
) -> float:
    """Share of a ranking whose cosine with a better-ranked passage is above `cosine`.

    vectors [n, d] float32 unit rows, best rank first. An empty ranking has the share 0.
    """
    if not len(vectors):
        return 0.0
    above = np.tril(vectors @ vectors.T > cosine, k=-1)
    return float(above.any(axis=1).mean())


def _check_depth(judged: RankedRelevance, k: int) -> None:
    if not 1 <= k <= judged.depth:
        raise ValueError(f"k is {k}, but ranks 1 to {judged.depth} were kept")
