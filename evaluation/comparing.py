"""Compares two evaluations, or the rankings before and after rerank; paired wherever possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from evaluation.gates import combine, if_enough
from evaluation.hits_files import QueryHits, judge_hits
from evaluation.intervals import Bootstrap, Interval, Verdict, bootstrap_mean, paired_difference
from evaluation.measures import PerQuery, all_measures
from evaluation.querysets import Task
from retrieval_core.errors import InvalidInput

COMPARISON_FORMAT = "retrieval-rerank-comparison/1"
LEAST_LIFT_PP = 3.0
LEAST_RANK1_CHANGE = 0.10
EXPECTED_RANK1_CHANGE = (0.20, 0.40)


class Want(StrEnum):
    """What reranking owes to a kind of query."""

    LIFT = "R@5 rises by the wanted lift"
    NO_LOSS = "no loss of R@5 beyond the interval"


@dataclass(frozen=True, slots=True)
class Change:
    """One measure before and after, and the interval of the difference, in percentage points."""

    before: float
    after: float
    difference_pp: Interval


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """What reranking does to the queries of one task; the verdict is about what it owes to them."""

    task: str
    query_count: int
    measures: Mapping[str, Change]
    rank1_change_ratio: float
    want: Want
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class RerankComparison:
    """The comparison of two hits files.

    How often rank 1 changes is judged over all queries: where the search is sure of its first,
    leaving it alone is right, and a reranker that hardly ever changes any does not help.
    """

    format: str
    least_lift_pp: float
    tasks: Sequence[TaskComparison]
    rank1_change_ratio: float
    acceptance_verdict: Verdict
    note: str
    verdict: Verdict


def compare_hits(
    before: Sequence[QueryHits],
    after: Sequence[QueryHits],
    least_lift_pp: float,
    bootstrap: Bootstrap,
) -> RerankComparison:
    """Compare task by task; queries of a task that is not stated owe the lift.

    InvalidInput unless both hold the same queries with the same candidates.
    """
    paired = pair_hits(before, after)
    for old, new in paired:
        if set(old.ids) != set(new.ids):
            raise InvalidInput(
                "--reranked", f"query {old.query_id!r} has other candidates than before"
            )
    tasks = sorted({old.task for old, _ in paired})
    reports = [
        _compare_task(
            task, [pair for pair in paired if pair[0].task == task], least_lift_pp, bootstrap
        )
        for task in tasks
    ]
    changed = _changed_interval(paired, bootstrap)
    acceptance, note = _judge_acceptance(changed)
    acceptance = if_enough(acceptance, len(paired))
    return RerankComparison(
        format=COMPARISON_FORMAT,
        least_lift_pp=least_lift_pp,
        tasks=reports,
        rank1_change_ratio=changed.mean,
        acceptance_verdict=acceptance,
        note=note,
        verdict=combine([acceptance, *(report.verdict for report in reports)]),
    )


def pair_hits(
    before: Sequence[QueryHits], after: Sequence[QueryHits]
) -> list[tuple[QueryHits, QueryHits]]:
    """The hits of each query in both, in the order of the first.

    InvalidInput where one lacks a query, or they disagree about what is relevant.
    """
    others = {hits.query_id: hits for hits in after}
    missing = {hits.query_id for hits in before} ^ set(others)
    if missing:
        raise InvalidInput(
            "hits", f"{len(missing)} queries are in one file alone, e.g. {min(missing)!r}"
        )
    pairs = [(hits, others[hits.query_id]) for hits in before]
    for old, new in pairs:
        if set(old.gold_ids) != set(new.gold_ids):
            raise InvalidInput("hits", f"query {old.query_id!r} has another gold id in one file")
    return pairs


def changes_of(
    pairs: Sequence[tuple[QueryHits, QueryHits]], bootstrap: Bootstrap
) -> dict[str, Change]:
    """Every measure before and after, resampled article by article where articles are known."""
    old = all_measures(judge_hits([pair[0] for pair in pairs]))
    new = all_measures(judge_hits([pair[1] for pair in pairs]))
    groups = _groups([pair[0] for pair in pairs])
    return {name: _change(old[name], new[name], groups, bootstrap) for name in old}


def unpaired_change(before: Interval, after: Interval) -> Change:
    """From two intervals alone: their half widths add in quadrature, as for independent samples."""
    mean = after.mean - before.mean
    low = mean - ((after.mean - after.low) ** 2 + (before.high - before.mean) ** 2) ** 0.5
    high = mean + ((after.high - after.mean) ** 2 + (before.mean - before.low) ** 2) ** 0.5
    return Change(before.mean, after.mean, Interval(100 * mean, 100 * low, 100 * high))


def _compare_task(
    task: str,
    pairs: Sequence[tuple[QueryHits, QueryHits]],
    least_lift_pp: float,
    bootstrap: Bootstrap,
) -> TaskComparison:
    changes = changes_of(pairs, bootstrap)
    changed = sum(old.ids[:1] != new.ids[:1] for old, new in pairs) / len(pairs)
    want = want_of(task)
    difference = changes["R@5"].difference_pp
    return TaskComparison(
        task=task or "unknown",
        query_count=len(pairs),
        measures=changes,
        rank1_change_ratio=changed,
        want=want,
        verdict=if_enough(judge_lift(difference, want, least_lift_pp), len(pairs)),
    )


def want_of(task: str) -> Want:
    """What reranking owes to the queries of a task; to those of no stated one it owes the lift."""
    return Want.NO_LOSS if task == Task.QUESTION.value else Want.LIFT


def judge_lift(difference_pp: Interval, want: Want, least_lift_pp: float) -> Verdict:
    """Hold the difference of R@5, in percentage points, against what is owed."""
    if want is Want.NO_LOSS:
        return Verdict.FAIL if difference_pp.high < 0.0 else Verdict.PASS
    return difference_pp.verdict_at_least(least_lift_pp)


def _judge_acceptance(changed: Interval) -> tuple[Verdict, str]:
    """How often rank 1 changes: hardly ever means that reranking does not help."""
    low, high = EXPECTED_RANK1_CHANGE
    if changed.mean < LEAST_RANK1_CHANGE:
        note = "rank 1 hardly ever changes: not helping"
    elif changed.mean < low:
        note = f"rank 1 changes less often than the expected {low:.0%}"
    elif changed.mean > high:
        note = f"rank 1 changes more often than the expected {high:.0%}"
    else:
        note = f"rank 1 changes as often as expected ({low:.0%} to {high:.0%})"
    return changed.verdict_at_least(LEAST_RANK1_CHANGE), note


def _changed_interval(
    pairs: Sequence[tuple[QueryHits, QueryHits]], bootstrap: Bootstrap
) -> Interval:
    changed = np.array([old.ids[:1] != new.ids[:1] for old, new in pairs], np.float64)
    return bootstrap_mean(changed, _groups([old for old, _ in pairs]), bootstrap)


def _change(
    before: PerQuery, after: PerQuery, groups: Sequence[str] | None, bootstrap: Bootstrap
) -> Change:
    difference = paired_difference(100 * before, 100 * after, groups, bootstrap)
    return Change(float(before.mean()), float(after.mean()), difference)


def _groups(hits: Sequence[QueryHits]) -> list[str] | None:
    articles = [each.article_id for each in hits]
    return articles if all(articles) else None
