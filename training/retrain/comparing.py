"""Holds a retrained pair of query model and reranker against the pair that is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from encoder_svc.query_models import QueryModel
from evaluation.gates import GateResult, combine, either, enough_queries
from evaluation.intervals import (
    DEFAULT_BOOTSTRAP,
    Bootstrap,
    Interval,
    Verdict,
    paired_difference,
)
from evaluation.measures import PerQuery, contain_at, recall_at, reciprocal_rank
from rerank_svc.candidates import QueryKind
from rerank_svc.model import RerankModel
from training.reranker.lists import CandidateLists
from training.reranker.material import Material
from training.reranker.network import Floats
from training.reranker.outcome import judge, scorer_of, search_order_scores

MEASURES: Mapping[str, Callable[..., PerQuery]] = {
    "R@5": lambda judged: recall_at(judged, 5),
    "MRR@10": lambda judged: reciprocal_rank(judged, 10),
    "Contain@50": lambda judged: contain_at(judged, 50),
}


@dataclass(frozen=True, slots=True)
class RankingPair:
    """What turns a query into a ranking; without a reranker the search's order stays."""

    query_model: QueryModel
    reranker: RerankModel | None


@dataclass(frozen=True, slots=True)
class MeasureChange:
    """One measure of both pairs, and the paired difference in percentage points."""

    served: float
    candidate: float
    difference_pp: Interval


@dataclass(frozen=True, slots=True)
class PairComparison:
    """The candidate beside what is served, by kind of query; PASS is what may be proposed."""

    label: str
    query_models: Mapping[str, str]
    query_counts: Mapping[str, int]
    measures: Mapping[str, Mapping[str, MeasureChange]]
    gates: Sequence[GateResult]
    verdict: Verdict


def compare_ranking_pairs(
    label: str,
    material: Material,
    served: RankingPair,
    candidate: RankingPair,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> PairComparison:
    """Rank the queries of the evaluation's articles with both, and judge the differences."""
    changes: dict[str, dict[str, MeasureChange]] = {}
    counts: dict[str, int] = {}
    articles: set[str] = set()
    for kind in QueryKind:
        before = _lists(material, kind, served)
        after = _lists(material, kind, candidate)
        name = kind.name.lower()
        counts[name] = len(before)
        articles.update(before.articles)
        changes[name] = _changes(before, after, (served, candidate), kind, bootstrap)
    gates = _gates(changes, sum(counts.values()), len(articles))
    return PairComparison(
        label=label,
        query_models={
            "served": served.query_model.name,
            "candidate": candidate.query_model.name,
        },
        query_counts=counts,
        measures=changes,
        gates=gates,
        verdict=combine(gate.verdict for gate in gates),
    )


def judge_rise(name: str, difference_pp: Interval) -> GateResult:
    """PASS only where the whole interval is above zero: no change is no reason to ship."""
    verdict = Verdict.INCONCLUSIVE
    if difference_pp.low > 0.0:
        verdict = Verdict.PASS
    elif difference_pp.high <= 0.0:
        verdict = Verdict.FAIL
    return _gate(name, difference_pp, verdict)


def judge_no_loss(name: str, difference_pp: Interval) -> GateResult:
    """FAIL where the whole interval is below zero."""
    verdict = Verdict.FAIL if difference_pp.high < 0.0 else Verdict.PASS
    return _gate(name, difference_pp, verdict)


def _gate(name: str, figure: Interval, verdict: Verdict) -> GateResult:
    return GateResult(name, figure.mean, 0.0, verdict, figure.low, figure.high, "pp")


def _gates(
    changes: Mapping[str, Mapping[str, MeasureChange]], query_count: int, article_count: int
) -> list[GateResult]:
    rises = [
        judge_rise(f"R@5 of {kind} queries", changes[kind]["R@5"].difference_pp) for kind in changes
    ]
    return [
        enough_queries(query_count, article_count),
        replace(either("R@5 rises", rises), detail="of questions or of contexts, surely"),
        *(
            judge_no_loss(f"{measure} of {kind} queries, no loss", found[measure].difference_pp)
            for kind, found in changes.items()
            for measure in ("R@5", "Contain@50")
        ),
    ]


def _lists(material: Material, kind: QueryKind, pair: RankingPair) -> CandidateLists:
    return material.lists(kind, "evaluation", pair.query_model)


def _changes(
    before: CandidateLists,
    after: CandidateLists,
    pairs: tuple[RankingPair, RankingPair],
    kind: QueryKind,
    bootstrap: Bootstrap,
) -> dict[str, MeasureChange]:
    old, new = (
        judge(lists, _scores(lists, pair.reranker, kind))
        for lists, pair in zip((before, after), pairs, strict=True)
    )
    found = {}
    for name, measure in MEASURES.items():
        values = measure(old), measure(new)
        difference = paired_difference(100 * values[0], 100 * values[1], before.articles, bootstrap)
        found[name] = MeasureChange(float(values[0].mean()), float(values[1].mean()), difference)
    return found


def _scores(lists: CandidateLists, reranker: RerankModel | None, kind: QueryKind) -> Floats:
    if reranker is None:
        return search_order_scores(lists)
    return scorer_of(reranker, kind)(lists.features)
