"""The report of a clean evaluation: measures by stage with intervals, lanes, gates, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluation.gates import (
    AGREEMENT_DEPTH,
    LEAST_AGREEMENT,
    LEAST_CONTAIN_AT_50,
    GateResult,
    combine,
    condition,
    enough_queries,
    gate_at_least,
    norm_gate,
    quality_gate,
)
from evaluation.intervals import Bootstrap, Interval, Verdict, bootstrap_mean, paired_difference
from evaluation.measures import PerQuery, all_measures, judge_rankings
from evaluation.rankings import DEPTH, Asked, Stage
from evaluation.reference import article_reference
from evaluation.release_passages import ReleasePassages

FORMAT = "retrieval-evaluation/1"
AS_SERVED = "as served"
LANE_MEASURES = ("R@1", "R@5", "MRR@10", "Contain@50")
MOST_LANES = 50
"""Lanes with most queries that are reported apart; a corpus may have hundreds."""

Measures = Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class LaneReport:
    """The queries whose passage is of one lane: LANE_MEASURES by stage, before and after rerank."""

    query_count: int
    stages: Mapping[str, Measures]

    @property
    def final(self) -> Measures:
        """What callers get."""
        return self.stages.get(Stage.RERANK.value, self.stages[Stage.SEARCH.value])


@dataclass(frozen=True, slots=True)
class SetReport:
    """What one query set says. `stages` by flat, search, rerank; without a reranker two of them.

    `differences`: `rerank` is after - before it, `index` is the served index - FLAT, paired.
    `article_reference`: what knowing the right article alone would reach, see reference.
    """

    name: str
    task: str
    query_count: int
    article_count: int
    query_model: str
    excluded: str
    stages: Mapping[str, Measures]
    differences: Mapping[str, Measures]
    agreement: Interval
    rank1_change_ratio: float | None
    incomplete_count: int
    degraded_count: int
    lanes: Mapping[str, LaneReport]
    article_reference: Mapping[str, float]
    gates: Sequence[GateResult]

    @property
    def final(self) -> Measures:
        """After rerank, or of the search where there is no reranker."""
        return self.stages.get(Stage.RERANK.value, self.stages[Stage.SEARCH.value])


@dataclass(frozen=True, slots=True)
class Subject:
    """What was evaluated, and when (RFC 3339 in UTC); `hits` maps a stage to its hits file."""

    created: str
    release_id: str
    encoder: str
    corpus_digest: str
    mode: str
    nprobe: int
    index: str
    training_record: str
    hits: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole evaluation; the verdict is the worst of all gates."""

    format: str
    subject: Subject
    bootstrap: Bootstrap
    query_sets: Sequence[SetReport]
    gates: Sequence[GateResult]
    verdict: Verdict


def make_set_report(asked: Asked, passages: ReleasePassages, bootstrap: Bootstrap) -> SetReport:
    """Judge one query set over the passages of its release."""
    groups = [outcome.query.article_id for outcome in asked.outcomes]
    stages = [Stage.FLAT, Stage.SEARCH, *([Stage.RERANK] if asked.is_reranked else [])]
    values = {stage: _measure(asked, stage) for stage in stages}
    intervals = {
        stage.value: {name: bootstrap_mean(each, groups, bootstrap) for name, each in found.items()}
        for stage, found in values.items()
    }
    agreement = bootstrap_mean(_agreement(asked), groups, bootstrap)
    return SetReport(
        name=asked.query_set.name,
        task=asked.query_set.task.value,
        query_count=len(asked.outcomes),
        article_count=len(set(groups)),
        query_model=asked.query_model,
        excluded="the query's own context passages",
        stages=intervals,
        differences=_differences(values, groups, bootstrap),
        agreement=agreement,
        rank1_change_ratio=_rank1_change_ratio(asked),
        incomplete_count=asked.incomplete_count,
        degraded_count=asked.degraded_count,
        lanes=_lane_reports(values, passages.lanes_of(asked.query_set), groups, bootstrap),
        article_reference=article_reference(asked.query_set.queries, passages),
        gates=_set_gates(asked, intervals[stages[-1].value], agreement),
    )


def make_report(
    subject: Subject,
    sets: Sequence[SetReport],
    passage_norm_deviation: float,
    bootstrap: Bootstrap,
) -> Report:
    """Join the reports of all sets and state the verdict."""
    gates = [
        norm_gate("passage norms", passage_norm_deviation),
        condition(
            "clean",
            holds=bool(subject.training_record),
            detail="no article and no text in common with training"
            if subject.training_record
            else "no training record was given, so nothing is known of what was trained on",
        ),
    ]
    verdicts = [gate.verdict for each in sets for gate in each.gates]
    verdict = combine([*verdicts, *(gate.verdict for gate in gates)])
    return Report(FORMAT, subject, bootstrap, sets, gates, verdict)


def _measure(asked: Asked, stage: Stage) -> Mapping[str, PerQuery]:
    judged = judge_rankings(
        [outcome.stage(stage).ids for outcome in asked.outcomes],
        [outcome.query.gold_ids for outcome in asked.outcomes],
        depth=DEPTH,
    )
    return all_measures(judged)


def _agreement(asked: Asked) -> PerQuery:
    """Share of the first ten by FLAT that the index has in its first ten."""
    shares = []
    for outcome in asked.outcomes:
        wanted = set(outcome.flat.ids[:AGREEMENT_DEPTH])
        found = wanted & set(outcome.search.ids[:AGREEMENT_DEPTH])
        shares.append(len(found) / len(wanted) if wanted else 1.0)
    return np.array(shares, np.float64)


def _differences(
    values: Mapping[Stage, Mapping[str, PerQuery]], groups: Sequence[str], bootstrap: Bootstrap
) -> dict[str, Measures]:
    pairs = {"index": (Stage.FLAT, Stage.SEARCH)}
    if Stage.RERANK in values:
        pairs["rerank"] = (Stage.SEARCH, Stage.RERANK)
    return {
        label: {
            name: paired_difference(values[before][name], values[after][name], groups, bootstrap)
            for name in values[before]
        }
        for label, (before, after) in pairs.items()
    }


def _rank1_change_ratio(asked: Asked) -> float | None:
    reranked = [outcome for outcome in asked.outcomes if outcome.rerank is not None]
    if not reranked:
        return None
    return float(np.mean([outcome.final.ids[:1] != outcome.search.ids[:1] for outcome in reranked]))


def _lane_reports(
    values: Mapping[Stage, Mapping[str, PerQuery]],
    lanes: Sequence[str],
    groups: Sequence[str],
    bootstrap: Bootstrap,
) -> dict[str, LaneReport]:
    names, codes, counts = np.unique(np.array(lanes), return_inverse=True, return_counts=True)
    reports = {}
    for place in np.sort(np.argsort(-counts, kind="stable")[:MOST_LANES]):
        rows = np.flatnonzero(codes == place)
        own_groups = [groups[row] for row in rows.tolist()]
        stages = {
            stage.value: {
                name: bootstrap_mean(found[name][rows], own_groups, bootstrap)
                for name in LANE_MEASURES
            }
            for stage, found in values.items()
            if stage is not Stage.FLAT
        }
        reports[str(names[place])] = LaneReport(len(rows), stages)
    return reports


def _agreement_gate(agreement: Interval) -> GateResult:
    gate = gate_at_least("IVF-FLAT agreement", agreement, LEAST_AGREEMENT)
    if gate.verdict is Verdict.PASS:
        return gate
    return replace(gate, detail="tools/nprobe_sweep.py finds the nprobe that reaches it")


def _set_gates(asked: Asked, final: Measures, agreement: Interval) -> list[GateResult]:
    articles = {outcome.query.article_id for outcome in asked.outcomes}
    gates = [
        enough_queries(len(asked.outcomes), len(articles)),
        quality_gate(final["R@5"], final["MRR"]),
        gate_at_least("Contain@50", final["Contain@50"], LEAST_CONTAIN_AT_50),
        _agreement_gate(agreement),
    ]
    if asked.norm_deviation is not None:
        gates.append(norm_gate("query norms", asked.norm_deviation))
    complete = not asked.incomplete_count and not asked.degraded_count
    gates.append(
        condition(
            "complete",
            holds=complete,
            detail="every answer from all shards, and reranked where there is a reranker"
            if complete
            else f"{asked.incomplete_count} answers lacked a shard, {asked.degraded_count} were "
            "not reranked",
        )
    )
    return gates
