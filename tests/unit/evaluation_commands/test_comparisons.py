"""Comparisons pass, fail or stay open by their intervals, and decisions follow the drop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.comparing import compare_hits, unpaired_change
from evaluation.gates import (
    GateResult,
    combine,
    either,
    enough_queries,
    gate_at_least,
    if_enough,
    norm_gate,
    quality_gate,
)
from evaluation.hits_files import QueryHits, write_hits
from evaluation.intervals import Bootstrap, Interval, Verdict
from evaluation.metric_changes import Decision, Side, compare_metrics, decide, load_side
from evaluation.metrics_files import Metrics, SetMetrics
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import InvalidInput

FEW = Bootstrap(resamples=300)
CANDIDATES = tuple(range(50))


def _hits(number: int, gold_rank: int, task: str = "next_passage") -> QueryHits:
    """The gold id is 49, at `gold_rank` from 1; the others keep their order."""
    ids = [passage for passage in CANDIDATES if passage != 49]
    ids.insert(gold_rank - 1, 49)
    scores = tuple(1.0 - place / 100 for place in range(50))
    return QueryHits(f"set/{number}", (49,), tuple(ids), scores, task, f"article-{number // 4}")


def _side(ranks: list[int], task: str = "next_passage") -> list[QueryHits]:
    return [_hits(number, rank, task) for number, rank in enumerate(ranks)]


def test_a_clear_lift_passes() -> None:
    comparison = compare_hits(_side([20] * 200), _side([1, 20] * 100), 3.0, FEW)
    assert comparison.verdict is Verdict.PASS
    assert comparison.tasks[0].rank1_change_ratio == pytest.approx(0.5)
    assert comparison.tasks[0].measures["R@5"].difference_pp.mean == pytest.approx(50.0)


def test_no_lift_where_one_is_owed_fails_and_rank_1_never_changes() -> None:
    comparison = compare_hits(_side([20] * 200), _side([20] * 200), 3.0, FEW)
    assert comparison.verdict is Verdict.FAIL
    assert comparison.acceptance_verdict is Verdict.FAIL
    assert "not helping" in comparison.note


def test_a_lift_whose_interval_spans_the_limit_is_no_pass() -> None:
    after = [1] * 8 + [20] * 192
    comparison = compare_hits(_side([20] * 200), _side(after), 3.0, FEW)
    assert comparison.tasks[0].verdict is Verdict.INCONCLUSIVE


def test_questions_owe_no_lift_but_may_not_lose() -> None:
    same = compare_hits(_side([2] * 100, "question"), _side([1, 2] * 50, "question"), 3.0, FEW)
    worse = compare_hits(_side([2] * 100, "question"), _side([1, 9] * 50, "question"), 3.0, FEW)
    assert same.tasks[0].verdict is Verdict.PASS
    assert worse.tasks[0].verdict is Verdict.FAIL


def test_rank_1_is_judged_over_all_queries() -> None:
    """Questions whose first is right already may keep it, where contexts change theirs."""
    sure = [replace(each, query_id=f"q/{each.query_id}") for each in _side([1] * 100, "question")]
    mixed = compare_hits(_side([20] * 100) + sure, _side([1, 20] * 50) + sure, 3.0, FEW)
    assert [task.rank1_change_ratio for task in mixed.tasks] == [0.5, 0.0]
    assert mixed.rank1_change_ratio == pytest.approx(0.25)
    assert (mixed.acceptance_verdict, mixed.verdict) == (Verdict.PASS, Verdict.PASS)
    alone = compare_hits(sure, sure, 3.0, FEW)
    assert (alone.tasks[0].verdict, alone.verdict) == (Verdict.PASS, Verdict.FAIL)


def test_tasks_are_judged_apart() -> None:
    before = _side([20] * 100) + [
        replace(each, query_id=f"q/{each.query_id}") for each in _side([2] * 100, "question")
    ]
    comparison = compare_hits(before, before, 3.0, FEW)
    assert [task.task for task in comparison.tasks] == ["next_passage", "question"]


def test_other_candidates_and_other_queries_are_refused() -> None:
    before = _side([3, 4])
    other = [replace(before[0], ids=(*before[0].ids[:-1], 77)), before[1]]
    with pytest.raises(InvalidInput, match="other candidates"):
        compare_hits(before, other, 3.0, FEW)
    with pytest.raises(InvalidInput, match="in one file alone"):
        compare_hits(before, before[:1], 3.0, FEW)
    with pytest.raises(InvalidInput, match="another gold id"):
        compare_hits(before, [replace(before[0], gold_ids=(1,)), before[1]], 3.0, FEW)


@pytest.mark.parametrize(
    ("change_pp", "decision"),
    [
        (5.0, Decision.GO_ON),
        (-1.99, Decision.GO_ON),
        (-2.0, Decision.TUNE),
        (-5.0, Decision.TUNE),
        (-5.01, Decision.HOLD),
        (-10.0, Decision.HOLD),
        (-10.01, Decision.ROLL_BACK),
    ],
)
def test_the_decision_follows_the_drop(change_pp: float, decision: Decision) -> None:
    assert decide(change_pp) is decision


def _metrics(
    r_at_5: float, half: float = 0.005, hits: dict[str, tuple[str, str]] | None = None
) -> Metrics:
    names = ("R@1", "R@5", "R@10", "MRR", "MRR@10", "nDCG@10", "Contain@20", "Contain@50")
    stage = {name: Interval(r_at_5, r_at_5 - half, r_at_5 + half) for name in names}
    found = SetMetrics("set", "next_passage", 100, {"search": stage})
    return Metrics("2026-01-01T00:00:00Z", "r", "in_process", "PASS", {"set": found}, hits or {})


@pytest.mark.parametrize(
    ("after", "verdict"),
    [(0.40, Verdict.PASS), (0.50, Verdict.PASS), (0.38, Verdict.INCONCLUSIVE), (0.3, Verdict.FAIL)],
)
def test_unpaired_reports_are_compared_by_their_intervals(after: float, verdict: Verdict) -> None:
    comparison = compare_metrics(Side(_metrics(0.40), None), Side(_metrics(after), None), 2.0, FEW)
    assert comparison.verdict is verdict
    assert not comparison.query_sets[0].is_paired


def test_a_handful_of_queries_is_no_pass() -> None:
    few = {"set": replace(_metrics(0.40).query_sets["set"], query_count=29)}
    for value, verdict in ((0.40, Verdict.INCONCLUSIVE), (0.20, Verdict.FAIL)):
        after = _metrics(value)
        comparison = compare_metrics(
            Side(replace(_metrics(0.40), query_sets=few), None), Side(after, None), 2.0, FEW
        )
        assert comparison.verdict is verdict


def test_unpaired_intervals_are_wider_than_either() -> None:
    change = unpaired_change(Interval(0.4, 0.3, 0.5), Interval(0.5, 0.4, 0.6))
    assert change.difference_pp.mean == pytest.approx(10.0)
    assert change.difference_pp.high == pytest.approx(10.0 + 10 * 2**0.5)


def test_hits_beside_the_report_make_the_comparison_paired(tmp_path: Path) -> None:
    sides = []
    for name, ranks in (("before", [1, 20] * 50), ("after", [20, 1] * 50)):
        path = tmp_path / f"{name}.jsonl"
        write_hits(_side(ranks), path)
        record = {"search": (path.name, sha256_of_file(path))}
        sides.append(load_side(_metrics(0.5, hits=record), tmp_path))
    comparison = compare_metrics(sides[0], sides[1], 2.0, FEW)
    assert comparison.query_sets[0].is_paired
    assert comparison.query_sets[0].measures["R@5"].difference_pp.mean == pytest.approx(0.0)


def test_altered_hits_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "hits.jsonl"
    write_hits(_side([1] * 4), path)
    record = {"search": (path.name, sha256_of_file(path))}
    path.write_text(path.read_text() + "\n")
    assert load_side(_metrics(0.5, hits=record), tmp_path).hits is None


def test_reports_without_a_common_set_are_refused() -> None:
    other = replace(_metrics(0.4), query_sets={})
    with pytest.raises(InvalidInput, match="no query set in common"):
        compare_metrics(Side(_metrics(0.4), None), Side(other, None), 2.0, FEW)


def test_either_gate_is_enough_and_both_failing_fails() -> None:
    high, low, spanning = (
        Interval(0.5, 0.4, 0.6),
        Interval(0.1, 0.05, 0.15),
        Interval(0.3, 0.2, 0.4),
    )
    assert quality_gate(low, high).verdict is Verdict.PASS
    assert quality_gate(high, low).verdict is Verdict.PASS
    assert quality_gate(low, low).verdict is Verdict.FAIL
    assert quality_gate(spanning, low).verdict is Verdict.INCONCLUSIVE
    assert either("x", [gate_at_least("a", low, 0.3)]).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("deviation", "verdict"),
    [
        (9.9e-6, Verdict.PASS),
        (1e-5, Verdict.FAIL),
        (float("nan"), Verdict.FAIL),
        (None, Verdict.INCONCLUSIVE),
    ],
)
def test_norms_pass_strictly_below_the_limit(deviation: float | None, verdict: Verdict) -> None:
    gate: GateResult = norm_gate("norms", deviation)
    assert gate.verdict is verdict


def test_the_worst_verdict_counts_and_nothing_is_no_pass() -> None:
    assert combine([]) is Verdict.INCONCLUSIVE
    assert combine([Verdict.PASS]) is Verdict.PASS
    assert combine([Verdict.PASS, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE
    assert combine([Verdict.INCONCLUSIVE, Verdict.FAIL]) is Verdict.FAIL
    assert combine([Verdict.FAIL, Verdict.ERROR]) is Verdict.ERROR


def test_too_few_queries_are_no_pass() -> None:
    assert if_enough(Verdict.PASS, 29) is Verdict.INCONCLUSIVE
    assert if_enough(Verdict.PASS, 30) is Verdict.PASS
    assert if_enough(Verdict.FAIL, 1) is Verdict.FAIL
    assert enough_queries(30, 9).verdict is Verdict.INCONCLUSIVE
    assert enough_queries(30, 10).verdict is Verdict.PASS
    few = compare_hits(_side([20] * 8), _side([1] * 8), 3.0, FEW)
    assert few.verdict is Verdict.INCONCLUSIVE
