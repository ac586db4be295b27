"""One query through all stages."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from gateway.answer import Answer
from gateway.ports import EncodedQuery
from gateway.query import ContextQuery, TextQuery, VectorQuery
from retrieval_core.coverage import Degradation, DegradationStep
from retrieval_core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    Unavailable,
)
from retrieval_core.timing import Stage
from tests.support.gateway_bench import Bench
from tests.support.gateway_ports import TextsById, answer_of, unit_vector

MS = 1_000_000
TEXT = TextQuery("why")


def ids(answer: Answer) -> list[int]:
    return [hit.passage_id for hit in answer.hits]


async def test_hits_of_all_shards_are_merged_and_reranked() -> None:
    bench = Bench()
    answer = await bench.ask(limit=3)
    # The stub turns the order of the best 50 round.
    assert ids(answer) == [49, 48, 47]
    assert answer.hits[0].passage.text == "text 49"
    assert answer.hits[0].position == 9
    assert answer.coverage.is_complete
    assert answer.degradations == ()
    assert (answer.release_id, answer.fingerprint, answer.nprobe) == ("r1", "fp", 8)


async def test_without_the_reranker_hits_come_in_the_order_of_the_search() -> None:
    bench = Bench()
    answer = await bench.ask(limit=4, skip_rerank=True)
    assert ids(answer) == [0, 1, 2, 3]
    assert answer.degradations == ()
    assert not bench.reranker.asked
    assert bench.even.asked[0].include_projections is False


async def test_every_stage_has_its_entry_and_the_account_adds_up() -> None:
    bench = Bench()
    await bench.ask()
    timings = bench.timings()
    assert [(one.stage, one.target) for one in timings.stages] == [
        (Stage.ENCODE, "encoder"),
        (Stage.SEARCH, "shard-0"),
        (Stage.SEARCH, "shard-1"),
        (Stage.RERANK, "reranker"),
        (Stage.MERGE, "gateway"),
    ]
    longest: dict[Stage, int] = {}
    for one in timings.stages:
        longest[one.stage] = max(longest.get(one.stage, 0), one.elapsed_ns)
    assert sum(longest.values()) + timings.unaccounted_ns == timings.total_ns


async def test_a_vector_query_needs_no_encoder() -> None:
    bench = Bench()
    bench.encoder.error = Unavailable("gone")
    answer = await bench.ask(subject=VectorQuery(unit_vector(3)))
    assert answer.fingerprint == ""
    assert bench.even.asked[0].fingerprint == ""
    assert np.array_equal(bench.even.asked[0].vector, unit_vector(3))
    assert Stage.ENCODE not in {one.stage for one in bench.timings().stages}
    assert bench.reranker.asked[0].fingerprint == ""


async def test_the_fingerprint_of_a_vector_query_is_checked_by_the_shards() -> None:
    bench = Bench()
    await bench.ask(subject=VectorQuery(unit_vector()), fingerprint="mine")
    assert bench.even.asked[0].fingerprint == "mine"


async def test_the_query_model_has_a_stage_of_its_own_for_contexts_only() -> None:
    bench = Bench()
    vectors = np.concatenate([unit_vector(1), unit_vector(2)])
    bench.encoder.answer = EncodedQuery(
        unit_vector(), vectors, "fp", "mean", truncated=True, query_model_ns=10 * MS
    )
    answer = await bench.ask(subject=ContextQuery(("one", unit_vector(2))))
    assert (answer.query_model, answer.truncated) == ("mean", True)
    entries = {one.stage: one.elapsed_ns for one in bench.timings().stages}
    assert entries[Stage.QUERY_MODEL] == 10 * MS
    # The stub took far less than it says its model took.
    assert entries[Stage.ENCODE] == 0
    assert bench.reranker.asked[0].context_vectors is vectors


async def test_an_answer_says_that_another_query_model_answered() -> None:
    bench = Bench()
    fallback = Degradation(DegradationStep.QUERY_MODEL_FALLBACK, "MODEL_LATE")
    bench.encoder.answer = EncodedQuery(
        unit_vector(), unit_vector(), "fp", "recency", degradation=fallback
    )
    answer = await bench.ask(subject=ContextQuery(("one",)))
    assert answer.degradations == (fallback,)
    assert answer.query_model == "recency"


@pytest.mark.parametrize(
    ("items", "refused"), [(("one", unit_vector()), True), (("one", "two"), False)]
)
async def test_vectors_of_another_encoder_are_refused_in_a_context(
    items: tuple[Any, ...], refused: bool
) -> None:
    bench = Bench()
    if not refused:
        await bench.ask(subject=ContextQuery(items), fingerprint="other")
        return
    with pytest.raises(FailedPrecondition) as caught:
        await bench.ask(subject=ContextQuery(items), fingerprint="other")
    assert caught.value.reason == "FINGERPRINT_MISMATCH"


async def test_a_missing_shard_is_said_twice_as_coverage_and_as_degradation() -> None:
    bench = Bench()
    bench.odd.error = Unavailable("gone")
    answer = await bench.ask(limit=3, skip_rerank=True)
    assert ids(answer) == [0, 2, 4]
    assert answer.coverage.ratio == 0.5
    assert [one.step for one in answer.degradations] == [DegradationStep.PARTIAL_COVERAGE]
    assert answer.degradations[0].reason == "SHARDS_UNREACHABLE"


async def test_below_the_minimum_coverage_there_is_no_answer() -> None:
    bench = Bench(min_coverage=0.75)
    bench.odd.error = Unavailable("gone")
    with pytest.raises(Unavailable):
        await bench.ask()
    assert {one.stage for one in bench.timings().stages} == {Stage.ENCODE, Stage.SEARCH}


async def test_an_error_of_the_encoder_is_the_error_of_the_query() -> None:
    bench = Bench()
    bench.encoder.error = InvalidInput("text", "is empty", reason="EMPTY_TEXT")
    with pytest.raises(InvalidInput) as caught:
        await bench.ask()
    assert caught.value.reason == "EMPTY_TEXT"
    assert [one.stage for one in bench.timings().stages] == [Stage.ENCODE]


async def test_no_time_left_is_said_before_any_work() -> None:
    bench = Bench()
    with pytest.raises(DeadlineExceeded):
        await bench.ask(time_left_ms=1.0)
    assert not bench.encoder.asked


async def test_a_query_without_hope_is_refused_before_any_work() -> None:
    bench = Bench()
    bench.encoder.takes_s = 0.05
    await bench.ask()
    searched = len(bench.even.asked)
    with pytest.raises(DeadlineExceeded) as caught:
        await bench.ask(time_left_ms=15.0)
    assert caught.value.reason == "TIME_LEFT_TOO_SHORT"
    assert len(bench.even.asked) == searched
    # A vector needs no encoder, an exact search is not what was measured.
    await bench.ask(subject=VectorQuery(unit_vector()), time_left_ms=2000.0)
    await bench.ask(time_left_ms=2000.0)


async def test_refusals_do_not_outlive_the_slow_spell() -> None:
    bench = Bench()
    bench.pipeline._recent_encode.add_ns(10_000 * MS)
    refused = 0
    for _ in range(60):
        try:
            await bench.ask(time_left_ms=500.0)
        except DeadlineExceeded:
            refused += 1
    assert 0 < refused < 40


async def test_shards_that_use_the_time_up_end_in_the_deadline() -> None:
    bench = Bench()
    bench.even.hangs = bench.odd.hangs = True
    with pytest.raises(DeadlineExceeded):
        await bench.ask(time_left_ms=60.0)
    assert [one.stage for one in bench.timings().stages].count(Stage.SEARCH) == 2


async def test_one_slow_shard_costs_the_grace_and_leaves_time_for_the_answer() -> None:
    bench = Bench()
    bench.odd.hangs = True
    answer = await bench.ask(time_left_ms=5000.0)
    assert answer.coverage.ratio == 0.5
    assert answer.coverage.missing[0].reason.value == "TIMED_OUT"


async def test_an_unknown_lane_is_named() -> None:
    bench = Bench()
    for shard in (bench.even, bench.odd):
        shard.answer = answer_of([], unknown_lanes=("nope",))
    with pytest.raises(InvalidInput) as caught:
        await bench.ask(lanes=("nope",))
    assert caught.value.violations[0].field == "lanes[0]"


async def test_a_query_without_hits_is_answered() -> None:
    bench = Bench()
    bench.even.answer = bench.odd.answer = answer_of([])
    answer = await bench.ask()
    assert answer.hits == ()
    assert answer.degradations == ()


async def test_k_grows_with_the_limit_and_the_rerank_set_does_not() -> None:
    bench = Bench()
    answer = await bench.ask(limit=55)
    assert bench.even.asked[0].k == 55
    assert len(bench.reranker.asked[0].candidates) == 50
    assert len(answer.hits) == 55
    assert ids(answer)[50:] == [50, 51, 52, 53, 54]


async def test_what_the_caller_asks_of_the_search_reaches_every_shard() -> None:
    bench = Bench()
    await bench.ask(nprobe=3, exact=True, lanes=("news",), excluded_passage_ids=(5, 6))
    for shard in (bench.even, bench.odd):
        asked = shard.asked[0]
        assert (asked.k, asked.nprobe, asked.exact) == (50, 3, True)
        assert (asked.lanes, asked.excluded_passage_ids) == (("news",), (5, 6))
        assert (asked.fingerprint, asked.include_projections) == ("fp", True)


async def test_only_returned_hits_have_their_texts_read() -> None:
    bench = Bench()
    await bench.ask(limit=4)
    reads = 0
    for shard in (bench.even, bench.odd):
        assert isinstance(shard.answer.passages, TextsById)
        reads += shard.answer.passages.read_count
    assert reads == 4


async def test_explanations_say_where_a_hit_stood_and_what_the_reranker_saw() -> None:
    bench = Bench()
    answer = await bench.ask(limit=2, explain=True)
    explanation = answer.hits[0].explanation
    assert explanation is not None
    assert (explanation.rank_before, explanation.rank_after) == (50, 1)
    assert explanation.cosine == pytest.approx(0.51, abs=1e-6)
    assert explanation.margin == pytest.approx(0.49, abs=1e-6)
    assert explanation.same_article_count == 10
    assert dict(explanation.features) == {"doubled": pytest.approx(-1.02, abs=1e-6)}
    assert bench.reranker.asked[0].include_features


async def test_without_explain_nothing_is_explained() -> None:
    bench = Bench()
    answer = await bench.ask(limit=2)
    assert all(hit.explanation is None for hit in answer.hits)
    assert not bench.reranker.asked[0].include_features


async def test_without_a_reranker_explanations_have_no_features() -> None:
    answer = await Bench(reranks=False).ask(limit=1, explain=True)
    assert answer.hits[0].explanation is not None
    assert answer.hits[0].explanation.features == ()
    assert [one.reason for one in answer.degradations] == ["RERANKER_NOT_CONFIGURED"]


async def test_a_cancelled_query_accounts_for_the_stage_it_was_in() -> None:
    bench = Bench()
    bench.encoder.hangs = True
    task = asyncio.ensure_future(bench.ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one.stage for one in bench.timings().stages] == [Stage.ENCODE]
