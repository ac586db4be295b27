"""Compares two evaluations and says what to do: go on, tune, hold, or roll back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from evaluation.comparing import Change, changes_of, unpaired_change
from evaluation.gates import combine, if_enough
from evaluation.hits_files import QueryHits, read_hits
from evaluation.intervals import Bootstrap, Verdict
from evaluation.metrics_files import Metrics
from evaluation.rankings import Stage
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import InvalidInput

FORMAT = "retrieval-metrics-comparison/1"
TUNE_DROP_PP = 2.0
HOLD_DROP_PP = 5.0
ROLL_BACK_DROP_PP = 10.0
DECIDING_MEASURE = "R@5"
COMPARED = ("R@1", "R@5", "R@10", "MRR", "MRR@10", "nDCG@10", "Contain@20", "Contain@50")


class Decision(StrEnum):
    """What a drop of R@5 asks for."""

    GO_ON = "go on"
    TUNE = "tune"
    HOLD = "hold"
    ROLL_BACK = "roll back"


@dataclass(frozen=True, slots=True)
class SetChange:
    """One query set before and after; the verdict is FAIL where R@5 surely dropped too far."""

    name: str
    is_paired: bool
    measures: Mapping[str, Change]
    decision: Decision
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class MetricsComparison:
    """Two evaluations compared, query set by query set."""

    format: str
    before: str
    after: str
    most_drop_pp: float
    query_sets: Sequence[SetChange]
    only_in_one: Sequence[str]
    decision: Decision
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Side:
    """One evaluation, and the hits of all its queries where they still are on disk."""

    metrics: Metrics
    hits: Sequence[QueryHits] | None


def load_side(metrics: Metrics, folder: Path) -> Side:
    """Find the hits file that the report names, in its own folder; another content is no match."""
    name, digest = metrics.hits.get(Stage.RERANK.value) or metrics.hits.get(
        Stage.SEARCH.value, ("", "")
    )
    path = folder / name
    if not name or not path.is_file() or sha256_of_file(path) != digest:
        return Side(metrics, None)
    return Side(metrics, read_hits(path))


def compare_metrics(
    before: Side, after: Side, most_drop_pp: float, bootstrap: Bootstrap
) -> MetricsComparison:
    """Compare what callers got. InvalidInput where the two share no query set."""
    old, new = before.metrics.query_sets, after.metrics.query_sets
    shared = [name for name in old if name in new]
    if not shared:
        raise InvalidInput("--after", "has no query set in common with --before")
    changes = [_compare_set(name, before, after, most_drop_pp, bootstrap) for name in shared]
    return MetricsComparison(
        format=FORMAT,
        before=f"{before.metrics.release_id} at {before.metrics.created}",
        after=f"{after.metrics.release_id} at {after.metrics.created}",
        most_drop_pp=most_drop_pp,
        query_sets=changes,
        only_in_one=sorted(set(old) ^ set(new)),
        decision=max((change.decision for change in changes), key=list(Decision).index),
        verdict=combine(change.verdict for change in changes),
    )


def decide(change_pp: float) -> Decision:
    """By the change of R@5 in percentage points; a rise is no reason to stop."""
    if change_pp < -ROLL_BACK_DROP_PP:
        return Decision.ROLL_BACK
    if change_pp < -HOLD_DROP_PP:
        return Decision.HOLD
    return Decision.TUNE if change_pp <= -TUNE_DROP_PP else Decision.GO_ON


def _compare_set(
    name: str, before: Side, after: Side, most_drop_pp: float, bootstrap: Bootstrap
) -> SetChange:
    paired = _paired(name, before, after, bootstrap)
    changes = _unpaired(name, before, after) if paired is None else paired
    difference = changes[DECIDING_MEASURE].difference_pp
    query_count = min(side.metrics.query_sets[name].query_count for side in (before, after))
    return SetChange(
        name=name,
        is_paired=paired is not None,
        measures={measure: changes[measure] for measure in COMPARED},
        decision=decide(difference.mean),
        verdict=if_enough(difference.verdict_at_least(-most_drop_pp), query_count),
    )


def _paired(name: str, before: Side, after: Side, bootstrap: Bootstrap) -> dict[str, Change] | None:
    """None unless both sides kept their hits and asked the same queries."""
    old, new = _of_set(before.hits, name), _of_set(after.hits, name)
    if not old or not new or {each.query_id for each in old} != {each.query_id for each in new}:
        return None
    # A release cut otherwise numbers its passages otherwise: each side is judged by its own.
    others = {each.query_id: each for each in new}
    return changes_of([(each, others[each.query_id]) for each in old], bootstrap)


def _unpaired(name: str, before: Side, after: Side) -> dict[str, Change]:
    old, new = before.metrics.query_sets[name].final, after.metrics.query_sets[name].final
    return {
        measure: unpaired_change(old[measure], new[measure])
        for measure in COMPARED
        if measure in old and measure in new
    }


def _of_set(hits: Sequence[QueryHits] | None, name: str) -> list[QueryHits]:
    return [each for each in hits or () if each.query_id.startswith(f"{name}/")]
