"""What reranking does to the rankings of a set of candidate lists, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluation.intervals import Interval, paired_difference
from evaluation.measures import RankedRelevance, all_measures, judge_gold_ranks
from rerank_svc.candidates import QueryKind
from rerank_svc.model import RerankModel
from training.reranker.lists import CandidateLists
from training.reranker.network import Floats

REPORTED = ("R@1", "R@3", "R@5", "R@10", "MRR@10", "nDCG@10", "Contain@50")


@dataclass(frozen=True, slots=True)
class MeasureOutcome:
    """One measure before and after, and the paired difference, drawn article by article."""

    before: float
    after: float
    difference: Interval


@dataclass(frozen=True, slots=True)
class Outcome:
    """All reported measures by name, and how often the first candidate changed."""

    query_count: int
    article_count: int
    changed_first: float
    measures: dict[str, MeasureOutcome]


def compare(lists: CandidateLists, score: Callable[[Floats], Floats]) -> Outcome:
    """Hold the order of the search against that of `score`, which maps [q, n, f] to [q, n]."""
    before = search_order_scores(lists)
    after = score(lists.features)
    return Outcome(
        query_count=len(lists),
        article_count=len(set(lists.articles)),
        changed_first=_changed_first(lists, after),
        measures=_measures(lists, before, after),
    )


def scorer_of(model: RerankModel, kind: QueryKind) -> Callable[[Floats], Floats]:
    """The served network as a function of features [q, n, f] to scores [q, n]."""

    def score(features: Floats) -> Floats:
        flat = np.ascontiguousarray(features.reshape(-1, features.shape[-1]))
        return model.score_features(flat, kind).reshape(features.shape[:-1])

    return score


def search_order_scores(lists: CandidateLists) -> Floats:
    """Scores [q, n] that leave the candidates as they are."""
    count = lists.mask.shape[1]
    return np.broadcast_to(-np.arange(count, dtype=np.float32), lists.mask.shape)


def judge(lists: CandidateLists, scores: Floats) -> RankedRelevance:
    """Where the right passage ends up by scores [q, n]; ties stay in the order of the search."""
    order = np.argsort(-np.where(lists.mask, scores, -np.inf), axis=1, kind="stable")
    places = (order == lists.golds[:, None]).argmax(axis=1) + 1
    ranks = np.where(lists.golds >= 0, places, 0)
    return judge_gold_ranks(ranks, depth=lists.mask.shape[1])


def _changed_first(lists: CandidateLists, scores: Floats) -> float:
    first = np.where(lists.mask, scores, -np.inf).argmax(axis=1)
    return float((first != 0).mean())


def _measures(lists: CandidateLists, before: Floats, after: Floats) -> dict[str, MeasureOutcome]:
    old, new = all_measures(judge(lists, before)), all_measures(judge(lists, after))
    return {
        name: MeasureOutcome(
            before=float(old[name].mean()),
            after=float(new[name].mean()),
            difference=paired_difference(old[name], new[name], lists.articles),
        )
        for name in REPORTED
    }
