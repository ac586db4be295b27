"""A/B of the reranker through a gateway: what it lifts, what it costs, and lift per millisecond.

Every query is asked with and without rerank right after each other, in turns as to which comes
first. Before the pair it is asked once unmeasured, so that both meet the same caches; the times
are the gateway's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.comparing import LEAST_LIFT_PP, Want, judge_lift, want_of
from evaluation.gates import GateResult, combine, condition, enough_queries
from evaluation.intervals import (
    Bootstrap,
    Interval,
    Verdict,
    bootstrap_mean,
    ratio_of_means,
)
from evaluation.measures import PerQuery, judge_rankings, recall_at, reciprocal_rank
from evaluation.querysets import EvaluationQuery, QuerySet
from evaluation.rankings import DEPTH
from retrieval_client import SearchResult
from retrieval_core.latency import LatencySummary, summarize_ms
from retrieval_core.timing import Stage, stage_totals_ns

FORMAT = "retrieval-reranker-ab/1"
RERANK_TARGET_MS = 2.0
SKIP_RERANK = "SKIP_RERANK"

Ask = Callable[[EvaluationQuery, bool], SearchResult]
"""Asks one query, with rerank or without."""


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """Both answers to one query."""

    query: EvaluationQuery
    without: SearchResult
    reranked: SearchResult

    @property
    def added_ms(self) -> float:
        """What the gateway took longer with rerank."""
        return (self.reranked.timings.total_ns - self.without.timings.total_ns) / 1e6

    @property
    def rerank_ms(self) -> float | None:
        """What the gateway saw of the reranker itself; None where it did not run."""
        totals = stage_totals_ns(self.reranked.timings.stages)
        return totals[Stage.RERANK] / 1e6 if Stage.RERANK in totals else None

    @property
    def is_reranked(self) -> bool:
        """Whether the reranker had its say."""
        return was_reranked(self.reranked)


@dataclass(frozen=True, slots=True)
class SetComparison:
    """One query set: lifts in percentage points, time in ms, and lift per added ms, paired.

    `per_ms` is None where the added time cannot be told from none.
    """

    name: str
    task: str
    query_count: int
    article_count: int
    without: Mapping[str, float]
    reranked: Mapping[str, float]
    lift_pp: Mapping[str, Interval]
    rank1_change_ratio: float
    added_ms: Interval
    rerank_ms: LatencySummary | None
    per_ms: Mapping[str, Interval | None]
    gates: Sequence[GateResult]

    @property
    def verdict(self) -> Verdict:
        """The worst of all gates."""
        return combine(gate.verdict for gate in self.gates)


@dataclass(frozen=True, slots=True)
class RerankerAb:
    """The whole A/B."""

    format: str
    created: str
    release_id: str
    address: str
    how: str
    query_sets: Sequence[SetComparison]
    verdict: Verdict


def was_reranked(result: SearchResult) -> bool:
    """Whether the reranker put these hits in order."""
    return all(item.step != SKIP_RERANK for item in result.degradations)


def ask_pairs(queries: Sequence[EvaluationQuery], ask: Ask) -> list[AnswerPair]:
    """Both answers to every query, in an order that favours neither."""
    pairs = []
    for number, query in enumerate(queries):
        ask(query, True)
        first = number % 2 == 0
        answers = {first: ask(query, first)}
        answers[not first] = ask(query, not first)
        pairs.append(AnswerPair(query, without=answers[False], reranked=answers[True]))
    return pairs


def slice_of(query_set: QuerySet, count: int) -> list[EvaluationQuery]:
    """At most `count` queries, spread over the file: sets are in the order of articles."""
    total = len(query_set.queries)
    places = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    return [query_set.queries[place] for place in places.tolist()]


def compare_pairs(
    query_set: QuerySet, pairs: Sequence[AnswerPair], bootstrap: Bootstrap
) -> SetComparison:
    """Judge all pairs of one set, resampled article by article."""
    groups = [pair.query.article_id for pair in pairs]
    without = _measures([pair.without for pair in pairs], pairs)
    reranked = _measures([pair.reranked for pair in pairs], pairs)
    added = np.array([pair.added_ms for pair in pairs], np.float64)
    lifts = {name: 100 * (reranked[name] - without[name]) for name in without}
    lift_pp = {name: bootstrap_mean(lift, groups, bootstrap) for name, lift in lifts.items()}
    times = [pair.rerank_ms for pair in pairs if pair.rerank_ms is not None]
    rerank_ms = summarize_ms(times)
    want = want_of(query_set.task.value)
    return SetComparison(
        name=query_set.name,
        task=query_set.task.value,
        query_count=len(pairs),
        article_count=len(set(groups)),
        without={name: float(values.mean()) for name, values in without.items()},
        reranked={name: float(values.mean()) for name, values in reranked.items()},
        lift_pp=lift_pp,
        rank1_change_ratio=_rank1_change_ratio(pairs),
        added_ms=bootstrap_mean(added, groups, bootstrap),
        rerank_ms=rerank_ms,
        per_ms={
            name: ratio_of_means(lift, added, groups, bootstrap) for name, lift in lifts.items()
        },
        gates=_gates(pairs, lift_pp["R@5"], want, rerank_ms),
    )


def _measures(results: Sequence[SearchResult], pairs: Sequence[AnswerPair]) -> dict[str, PerQuery]:
    judged = judge_rankings(
        [[hit.passage_id for hit in result.hits] for result in results],
        [pair.query.gold_ids for pair in pairs],
        depth=DEPTH,
    )
    return {"R@5": recall_at(judged, 5), "MRR@10": reciprocal_rank(judged, 10)}


def _rank1_change_ratio(pairs: Sequence[AnswerPair]) -> float:
    changed = [
        [hit.passage_id for hit in pair.without.hits[:1]]
        != [hit.passage_id for hit in pair.reranked.hits[:1]]
        for pair in pairs
    ]
    return sum(changed) / len(changed)


def _gates(
    pairs: Sequence[AnswerPair], lift_pp: Interval, want: Want, rerank_ms: LatencySummary | None
) -> list[GateResult]:
    articles = {pair.query.article_id for pair in pairs}
    skipped = sum(not pair.is_reranked for pair in pairs)
    limit = LEAST_LIFT_PP if want is Want.LIFT else 0.0
    lift = GateResult(
        want.value,
        lift_pp.mean,
        limit,
        judge_lift(lift_pp, want, LEAST_LIFT_PP),
        lift_pp.low,
        lift_pp.high,
        "pp",
    )
    return [
        enough_queries(len(pairs), len(articles)),
        condition(
            "reranked",
            holds=not skipped,
            detail=f"{skipped} of {len(pairs)} answers were not reranked",
        ),
        lift,
        _time_gate(rerank_ms),
    ]


def _time_gate(rerank_ms: LatencySummary | None) -> GateResult:
    name = "rerank P95, ms"
    if rerank_ms is None:
        return GateResult(name, None, RERANK_TARGET_MS, Verdict.INCONCLUSIVE, detail="never ran")
    verdict = Verdict.PASS if rerank_ms.p95_ms <= RERANK_TARGET_MS else Verdict.FAIL
    return GateResult(name, rerank_ms.p95_ms, RERANK_TARGET_MS, verdict, detail="at most")
