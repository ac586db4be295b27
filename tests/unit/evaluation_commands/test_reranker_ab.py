"""The A/B of the reranker: pairs in turns, lift and time from the same pairs, verdicts by both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.ab_reranking import ask_pairs, compare_pairs, slice_of
from evaluation.arms import Arm, check_answer, key_of_arm
from evaluation.intervals import Bootstrap, Interval, Verdict, ratio_of_means
from evaluation.querysets import ContextItem, EvaluationQuery, QuerySet, Task
from retrieval_client.results import Coverage, Degradation, Hit, SearchResult
from retrieval_core.errors import FailedPrecondition
from retrieval_core.timing import Stage, StageTiming, Timings
from retrieval_core.traffic_split import is_canary

FEW = Bootstrap(resamples=300)
MS = 1_000_000


def _queries(count: int, task: Task = Task.QUESTION) -> QuerySet:
    queries = tuple(
        EvaluationQuery(f"q{number}", f"article {number % 20}", (1,), text="what")
        for number in range(count)
    )
    return QuerySet("set", task, "sha256:0", queries)


def _answer(gold_rank: int, total_ms: float, rerank_ms: float | None) -> SearchResult:
    ids = [*range(2, 51)]
    ids.insert(gold_rank - 1, 1)
    stages = [] if rerank_ms is None else [_timing(rerank_ms)]
    skipped = () if rerank_ms is not None else (Degradation("SKIP_RERANK", "ASKED", ""),)
    return SearchResult(
        hits=tuple(Hit(passage_id, "a", 0, "lane", 1.0, "text") for passage_id in ids),
        timings=Timings(tuple(stages), int(total_ms * MS)),
        coverage=Coverage(1, 1, 1.0, ()),
        degradations=skipped,
        release_id="r",
        fingerprint="f",
        query_model="",
        truncated=False,
        nprobe=8,
    )


def _timing(elapsed_ms: float) -> StageTiming:
    return StageTiming(Stage.RERANK, "reranker", int(elapsed_ms * MS), 0, 0)


class Gateway:
    """Answers with the gold id at other ranks with rerank, and 2 ms later."""

    def __init__(self, rank: int, reranked_rank: int, rerank_ms: float | None = 1.5) -> None:
        self._ranks = {False: rank, True: reranked_rank}
        self._rerank_ms = rerank_ms
        self.asked: list[tuple[str, bool]] = []

    def ask(self, query: EvaluationQuery, with_rerank: bool) -> SearchResult:
        self.asked.append((query.query_id, with_rerank))
        rank = self._ranks[with_rerank]
        if not with_rerank:
            return _answer(rank, 5.0, None)
        return _answer(rank, 7.0, self._rerank_ms)


def test_each_query_is_asked_once_unmeasured_and_then_in_turns() -> None:
    gateway = Gateway(9, 1)
    pairs = ask_pairs(_queries(2).queries, gateway.ask)
    assert gateway.asked == [
        *[("q0", True), ("q0", True), ("q0", False)],
        *[("q1", True), ("q1", False), ("q1", True)],
    ]
    assert [pair.added_ms for pair in pairs] == [2.0, 2.0]


def test_lift_time_and_lift_per_millisecond_come_from_the_same_pairs() -> None:
    query_set = _queries(60)
    found = compare_pairs(query_set, ask_pairs(query_set.queries, Gateway(9, 1).ask), FEW)
    assert (found.without["R@5"], found.reranked["R@5"]) == (0.0, 1.0)
    assert found.lift_pp["R@5"] == Interval(100.0, 100.0, 100.0)
    assert found.lift_pp["MRR@10"].mean == pytest.approx(100 * (1 - 1 / 9))
    assert found.added_ms == Interval(2.0, 2.0, 2.0)
    assert found.per_ms["R@5"] == Interval(50.0, 50.0, 50.0)
    assert found.rerank_ms is not None
    assert found.rerank_ms.p95_ms == 1.5
    assert (found.rank1_change_ratio, found.verdict) == (1.0, Verdict.PASS)


@pytest.mark.parametrize(
    ("gateway", "count", "verdict"),
    [
        (Gateway(2, 9), 60, Verdict.FAIL),
        (Gateway(9, 2, rerank_ms=2.5), 60, Verdict.FAIL),
        (Gateway(9, 2), 12, Verdict.INCONCLUSIVE),
        (Gateway(9, 2, rerank_ms=None), 60, Verdict.INCONCLUSIVE),
    ],
    ids=["loses", "too slow", "too few", "never reranked"],
)
def test_verdicts(gateway: Gateway, count: int, verdict: Verdict) -> None:
    query_set = _queries(count)
    assert compare_pairs(query_set, ask_pairs(query_set.queries, gateway.ask), FEW).verdict is (
        verdict
    )


def test_contexts_owe_a_lift_and_questions_none() -> None:
    context = (ContextItem(99, "before"),)
    windows = QuerySet(
        "set",
        Task.NEXT_PASSAGE,
        "sha256:0",
        tuple(replace(query, text="", context=context) for query in _queries(60).queries),
    )
    for query_set, verdict in ((_queries(60), Verdict.PASS), (windows, Verdict.FAIL)):
        pairs = ask_pairs(query_set.queries, Gateway(3, 3).ask)
        found = compare_pairs(query_set, pairs, FEW)
        assert found.verdict is verdict
        assert found.per_ms["R@5"] == Interval(0.0, 0.0, 0.0)


def test_a_slice_is_spread_over_the_set() -> None:
    chosen = [query.query_id for query in slice_of(_queries(100), 5)]
    assert chosen == ["q0", "q25", "q50", "q74", "q99"]
    assert len(slice_of(_queries(3), 5)) == 3


def test_a_ratio_is_drawn_with_both_its_parts() -> None:
    generator = np.random.default_rng(1)
    below = generator.uniform(1.0, 3.0, 400)
    found = ratio_of_means(3.0 * below, below, None, FEW)
    assert found is not None
    # Wherever the draw falls, the part above goes along.
    assert (found.mean, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))
    assert ratio_of_means(below, generator.normal(0.0, 1.0, 400), None, FEW) is None
    with pytest.raises(ValueError, match="400 values above"):
        ratio_of_means(below, below[:10], None, FEW)


def test_keys_fall_to_their_arm_at_every_percentage_between() -> None:
    for percent in (0.01, 1, 5, 50, 99.99):
        assert is_canary(key_of_arm(Arm.CANARY), percent)
        assert not is_canary(key_of_arm(Arm.BASELINE), percent)


@pytest.mark.parametrize(
    ("arm", "release_id", "reason"),
    [
        ("canary", "r", "ARM_MISMATCH"),
        ("baseline", "other", "RELEASE_MISMATCH"),
        ("baseline", "r", None),
        ("", "r", None),
    ],
)
def test_answers_of_another_arm_or_release_are_refused(
    arm: str, release_id: str, reason: str | None
) -> None:
    answer = replace(_answer(1, 5.0, None), arm=arm, release_id=release_id)
    if reason is None:
        check_answer(answer, "r", Arm.BASELINE)
        return
    with pytest.raises(FailedPrecondition) as refused:
        check_answer(answer, "r", Arm.BASELINE)
    assert refused.value.reason == reason
