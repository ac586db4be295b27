"""Whether to rerank, what it changes, and why it was skipped."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ports import EncodedQuery, RerankAnswer
from gateway.reranking import Ranking, RerankPolicy, RerankStage, reranked_order
from retrieval_core.breaker import Breaker
from retrieval_core.coverage import DegradationStep
from retrieval_core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    Overloaded,
    RetrievalError,
    Unavailable,
)
from retrieval_core.hits import HitList
from retrieval_core.timing import Stage, TimingLedger
from tests.support.gateway_ports import StubReranker, hits_of, reranker_target, unit_vector

MS = 1_000_000
ENCODED = EncodedQuery(unit_vector(), fingerprint="fp")
CANDIDATES = hits_of([(one, 1.0 - one / 100) for one in range(6)])


async def rank(
    stage: RerankStage,
    candidates: HitList = CANDIDATES,
    *,
    time_left_ns: int = 1000 * MS,
    ledger: TimingLedger | None = None,
) -> Ranking:
    return await stage.rank(
        candidates,
        ENCODED,
        time_left_ns=time_left_ns,
        ledger=ledger or TimingLedger({}),
    )


def stage_of(reranker: StubReranker | None, **policy: object) -> RerankStage:
    target = None if reranker is None else reranker_target(reranker)
    return RerankStage(target, RerankPolicy(**policy))  # type: ignore[arg-type]


async def test_candidates_come_in_the_order_of_the_new_scores_with_one_entry() -> None:
    ledger = TimingLedger({Stage.RERANK: 2 * MS})
    ranking = await rank(stage_of(StubReranker()), ledger=ledger)
    assert ranking.order.tolist() == [5, 4, 3, 2, 1, 0]
    assert ranking.degradation is None
    entry = ledger.close().stages[0]
    assert (entry.stage, entry.target, entry.queued_ns) == (Stage.RERANK, "reranker", 3)
    assert entry.budget_ns == 2 * MS


async def test_equal_scores_are_ordered_by_passage_id() -> None:
    ranking = await rank(
        stage_of(StubReranker(scores=[0.5] * 6)),
        hits_of([(9, 0.9), (2, 0.8), (7, 0.7), (1, 0.6), (5, 0.5), (3, 0.4)]),
    )
    candidates = [9, 2, 7, 1, 5, 3]
    assert [candidates[index] for index in ranking.order] == [1, 2, 3, 5, 7, 9]


async def test_candidates_beyond_the_rerank_set_keep_their_order_behind_it() -> None:
    reranker = StubReranker()
    ranking = await rank(stage_of(reranker, candidate_count=3))
    assert len(reranker.asked[0].candidates) == 3
    assert ranking.order.tolist() == [2, 1, 0, 3, 4, 5]
    assert np.array_equal(ranking.scores[3:], CANDIDATES.scores[3:])


async def test_no_candidates_are_no_degradation() -> None:
    reranker = StubReranker()
    ranking = await rank(stage_of(reranker), HitList.empty())
    assert ranking.degradation is None
    assert not reranker.asked


@pytest.mark.parametrize(
    ("stage", "candidates", "time_left_ns", "reason"),
    [
        (stage_of(StubReranker(), is_on=False), CANDIDATES, 1000 * MS, "RERANKER_OFF"),
        (stage_of(None), CANDIDATES, 1000 * MS, "RERANKER_NOT_CONFIGURED"),
        (stage_of(StubReranker()), CANDIDATES, MS, "NO_TIME_LEFT"),
        (stage_of(StubReranker()), CANDIDATES, -5, "NO_TIME_LEFT"),
        (
            stage_of(StubReranker()),
            hits_of([(1, 0.5)], projected=False),
            1000 * MS,
            "PROJECTIONS_MISSING",
        ),
    ],
)
async def test_a_skip_says_why_and_keeps_the_order_of_the_search(
    stage: RerankStage, candidates: HitList, time_left_ns: int, reason: str
) -> None:
    ledger = TimingLedger({})
    ranking = await rank(stage, candidates, time_left_ns=time_left_ns, ledger=ledger)
    assert ranking.degradation is not None
    assert ranking.degradation.step is DegradationStep.SKIP_RERANK
    assert ranking.degradation.reason == reason
    assert ranking.order.tolist() == list(range(len(candidates)))
    assert ledger.close().stages == ()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeadlineExceeded("late"), "RERANKER_TIMED_OUT"),
        (Unavailable("gone"), "RERANKER_UNREACHABLE"),
        (Overloaded("full"), "RERANKER_OVERLOADED"),
        (InternalError("oops"), "RERANKER_FAILED"),
        (FailedPrecondition("other", reason="FINGERPRINT_MISMATCH"), "FINGERPRINT_MISMATCH"),
    ],
)
async def test_a_failure_says_why_costs_an_entry_and_keeps_the_order_of_the_search(
    error: RetrievalError, reason: str
) -> None:
    ledger = TimingLedger({})
    ranking = await rank(stage_of(StubReranker(error=error)), ledger=ledger)
    assert ranking.degradation is not None
    assert ranking.degradation.reason == reason
    assert ranking.order.tolist() == [0, 1, 2, 3, 4, 5]
    assert [one.stage for one in ledger.close().stages] == [Stage.RERANK]


@pytest.mark.parametrize("scores", [[0.5] * 7, [0.5, float("nan"), 0, 0, 0, 0]])
async def test_scores_that_cannot_be_right_are_not_used(scores: list[float]) -> None:
    ranking = await rank(stage_of(StubReranker(scores=scores)))
    assert ranking.degradation is not None
    assert ranking.degradation.reason == "RERANKER_FAILED"


async def test_a_reranker_that_is_gone_is_asked_no_more_until_a_check_succeeds() -> None:
    reranker = StubReranker(error=Unavailable("gone"))
    stage = stage_of(reranker)
    assert stage.target is not None
    stage.target.breaker = Breaker(2)
    reasons = [(await rank(stage)).degradation for _ in range(3)]
    assert [one.reason for one in reasons if one] == [
        "RERANKER_UNREACHABLE",
        "RERANKER_UNREACHABLE",
        "RERANKER_SET_ASIDE",
    ]
    reranker.error = None
    stage.target.breaker.allow_trial()
    assert (await rank(stage)).degradation is None


async def test_a_time_out_of_a_caller_in_a_hurry_does_not_count() -> None:
    stage = stage_of(StubReranker(error=DeadlineExceeded("late")), expected_ns=1)
    assert stage.target is not None
    stage.target.breaker = Breaker(1)
    await rank(stage, time_left_ns=5 * MS)
    assert not stage.target.breaker.is_open
    await rank(stage, time_left_ns=1000 * MS)
    assert stage.target.breaker.is_open


async def test_a_slow_spell_does_not_forbid_reranking_for_ever() -> None:
    stage = stage_of(StubReranker(), expected_ns=20 * MS)
    skipped = 0
    for _ in range(100):
        ranking = await rank(stage, time_left_ns=8 * MS)
        skipped += ranking.degradation is not None
    assert 0 < skipped < 50


async def test_a_cancelled_request_is_not_answered() -> None:
    class Hanging(StubReranker):
        async def rerank(self, query: object, timeout_ns: int) -> RerankAnswer:
            never: asyncio.Future[RerankAnswer] = asyncio.get_running_loop().create_future()
            return await never

    task = asyncio.ensure_future(rank(stage_of(Hanging())))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5]), min_size=1, max_size=30), st.data())
def test_the_order_is_a_permutation_sorted_by_score_then_id(
    scores: list[float], data: st.DataObject
) -> None:
    total = data.draw(st.integers(len(scores), len(scores) + 5))
    candidates = hits_of([((7 * index) % 101, 1.0 - index / 100) for index in range(total)])
    ranking = reranked_order(candidates, RerankAnswer(np.array(scores, np.float32)))
    assert sorted(ranking.order.tolist()) == list(range(total))
    head = [
        (-ranking.scores[index], candidates.passage_ids[index])
        for index in ranking.order[: len(scores)]
    ]
    assert head == sorted(head)
    assert ranking.order[len(scores) :].tolist() == list(range(len(scores), total))
