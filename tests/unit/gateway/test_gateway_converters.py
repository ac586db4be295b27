"""Public messages to queries, and answers to public messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from retrieval.v1.common_pb2 import Matrix, StageTiming
from retrieval.v1.encoder_pb2 import Context, ContextItem
from retrieval.v1.retrieval_pb2 import Degradation as DegradationMessage
from retrieval.v1.retrieval_pb2 import MissingShard as MissingShardMessage
from retrieval.v1.retrieval_pb2 import SearchRequest

from gateway.answer import Answer, AnswerHit, HitExplanation
from gateway.converters import (
    check_batch,
    query_from_message,
    search_error,
    search_response,
    timings_message,
    topology_response,
)
from gateway.ports import PassageText
from gateway.query import ContextQuery, QueryLimits, TextQuery, VectorQuery
from gateway.topology import TargetState
from retrieval_core.coverage import (
    Coverage,
    Degradation,
    DegradationStep,
    MissingReason,
    MissingShard,
)
from retrieval_core.errors import InternalError, InvalidInput, Overloaded
from retrieval_core.timing import Stage, Timings
from retrieval_core.timing import StageTiming as StageTimingValue
from servicekit.matrices import matrix_to_message

LIMITS = QueryLimits(max_excluded=3, max_nprobe=64)


def vector(*, columns: int = 768, rows: int = 1, value: float = 2.0) -> Matrix:
    return matrix_to_message(np.full((rows, columns), value, np.float32))


def with_element(value: float) -> Matrix:
    array = np.ones((1, 768), np.float32)
    array[0, 700] = value
    return matrix_to_message(array)


def context(*items: Any) -> Context:
    return Context(
        items=[
            ContextItem(text=item) if isinstance(item, str) else ContextItem(vector=item)
            for item in items
        ]
    )


def test_a_text_request_is_read_whole() -> None:
    request = SearchRequest(
        text="why",
        limit=7,
        lanes=["news", "news"],
        nprobe=5,
        exact=True,
        excluded_passage_ids=[1, 2],
        explain=True,
        skip_rerank=True,
        fingerprint="fp",
    )
    query = query_from_message(request, LIMITS)
    assert query.subject == TextQuery("why")
    assert (query.limit, query.lanes, query.nprobe) == (7, ("news",), 5)
    assert query.excluded_passage_ids == (1, 2)
    assert (query.exact, query.explain, query.skip_rerank) == (True, True, True)
    assert query.fingerprint == "fp"


@pytest.mark.parametrize("value", [2.0, 1e-30, 3e38])
def test_a_vector_is_normalised(value: float) -> None:
    query = query_from_message(SearchRequest(vector=vector(value=value)), LIMITS)
    assert isinstance(query.subject, VectorQuery)
    assert abs(np.linalg.norm(query.subject.vector.astype(np.float64)) - 1) < 1e-6


def test_a_half_precision_vector_is_read_too() -> None:
    matrix = matrix_to_message(np.ones((1, 768), np.float16))
    query = query_from_message(SearchRequest(vector=matrix), LIMITS)
    assert isinstance(query.subject, VectorQuery)
    assert query.subject.vector.dtype == np.float32


def test_a_context_mixes_texts_and_vectors_in_order() -> None:
    request = SearchRequest(context=context("one", vector(), "three"))
    subject = query_from_message(request, LIMITS).subject
    assert isinstance(subject, ContextQuery)
    assert (subject.items[0], subject.items[2]) == ("one", "three")
    assert isinstance(subject.items[1], np.ndarray)
    assert abs(np.linalg.norm(subject.items[1]) - 1) < 1e-5
    assert subject.has_vectors


@pytest.mark.parametrize(
    ("request_", "field", "reason"),
    [
        (SearchRequest(), "query", "NO_QUERY"),
        (SearchRequest(text=""), "text", "EMPTY_TEXT"),
        (SearchRequest(vector=Matrix()), "vector.element_type", "WRONG_ELEMENT_TYPE"),
        (SearchRequest(vector=vector(columns=512)), "vector", "WRONG_DIMENSION"),
        (SearchRequest(vector=vector(rows=2)), "vector", "TOO_MANY_ROWS"),
        (SearchRequest(vector=vector(value=0.0)), "vector", "ZERO_VECTOR"),
        (SearchRequest(vector=with_element(float("nan"))), "vector", "NOT_FINITE"),
        (SearchRequest(vector=with_element(float("inf"))), "vector", "NOT_FINITE"),
        (SearchRequest(vector=with_element(float("-inf"))), "vector", "NOT_FINITE"),
        (SearchRequest(context=Context()), "context.items", "EMPTY_CONTEXT"),
        (SearchRequest(context=context(*"abcdef")), "context.items", "TOO_MANY"),
        (SearchRequest(context=context("a", " ")), "context.items[1].text", "EMPTY_TEXT"),
        (
            SearchRequest(context=context("a", vector(columns=3))),
            "context.items[1].vector",
            "WRONG_DIMENSION",
        ),
        (
            SearchRequest(context=context("a", vector(value=0.0))),
            "context.items[1].vector",
            "ZERO_VECTOR",
        ),
        (SearchRequest(context=Context(items=[ContextItem()])), "context.items[0]", "NO_ITEM"),
        (SearchRequest(text="a", limit=10**9), "limit", "OUT_OF_RANGE"),
        (SearchRequest(text="a", nprobe=65), "nprobe", "OUT_OF_RANGE"),
        (SearchRequest(text="a", lanes=["x", ""]), "lanes[1]", "EMPTY_LANE"),
        (
            SearchRequest(text="a", excluded_passage_ids=[1, 2, 3, 4]),
            "excluded_passage_ids",
            "TOO_MANY",
        ),
    ],
)
def test_a_bad_field_is_refused_by_its_wire_name(
    request_: SearchRequest, field: str, reason: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        query_from_message(request_, LIMITS)
    assert caught.value.violations[0].field == field
    assert caught.value.reason == reason


def test_an_answer_is_written_whole() -> None:
    explanation = HitExplanation(0.75, 0.125, 2, 1, 3, (("cosine", 0.75),))
    hit = AnswerHit(5, 4, 0.5, PassageText("a1", "news", "text"), explanation)
    answer = Answer(
        hits=(hit,),
        coverage=Coverage(4, (MissingShard("shard-3", MissingReason.OVERLOADED, "full"),)),
        degradations=(Degradation(DegradationStep.SKIP_RERANK, "NO_TIME_LEFT", "d"),),
        release_id="r1",
        fingerprint="fp",
        query_model="mean",
        truncated=True,
        nprobe=8,
    )
    message = search_response(answer)
    written = message.hits[0]
    assert (written.passage.passage_id, written.passage.article_id) == (5, "a1")
    assert (written.passage.position, written.passage.lane) == (4, "news")
    assert (written.passage.text, written.score) == ("text", 0.5)
    assert written.explanation.cosine == 0.75
    assert written.explanation.margin == 0.125
    assert (written.explanation.rank_before, written.explanation.rank_after) == (2, 1)
    assert written.explanation.same_article_count == 3
    assert written.explanation.features[0].name == "cosine"
    assert (message.coverage.shards_asked, message.coverage.shards_answered) == (4, 3)
    assert message.coverage.ratio == 0.75
    assert message.coverage.missing[0].reason == MissingShardMessage.REASON_OVERLOADED
    assert message.coverage.missing[0].detail == "full"
    assert message.degradations[0].step == DegradationMessage.STEP_SKIP_RERANK
    assert (message.release_id, message.fingerprint) == ("r1", "fp")
    assert (message.query_model, message.truncated, message.nprobe) == ("mean", True, 8)


def test_a_hit_without_explanation_has_none_on_the_wire() -> None:
    hit = AnswerHit(5, 4, 0.5, PassageText("a1", "news", "text"))
    answer = Answer((hit,), Coverage(1), (), "r1", "", "", False, 0)
    assert not search_response(answer).hits[0].HasField("explanation")


def test_every_word_of_the_core_has_its_word_on_the_wire() -> None:
    for step in DegradationStep:
        degradation = Degradation(step, "R")
        answer = Answer((), Coverage(1), (degradation,), "", "", "", False, 0)
        written = search_response(answer).degradations[0].step
        assert DegradationMessage.Step.Name(written) == f"STEP_{step.value}"
    for reason in MissingReason:
        coverage = Coverage(1, (MissingShard("shard-0", reason),))
        answer = Answer((), coverage, (), "", "", "", False, 0)
        missing = search_response(answer).coverage.missing[0]
        assert MissingShardMessage.Reason.Name(missing.reason) == f"REASON_{reason.value}"


def test_timings_keep_every_nanosecond_and_stand_in_the_order_of_the_pipeline() -> None:
    stages = (
        StageTimingValue(Stage.RERANK, "reranker", 8_000_001, 2, 2_000_000),
        StageTimingValue(Stage.ENCODE, "encoder", 1_999_999_999, 3, 4),
    )
    message = timings_message(Timings(stages, 2_500_000_000))
    assert [StageTiming(stage=one.stage).stage for one in message.stages] == [1, 5]
    assert message.stages[0].elapsed.ToNanoseconds() == 1_999_999_999
    assert message.stages[1].elapsed.ToNanoseconds() == 8_000_001
    assert message.stages[1].queued.ToNanoseconds() == 2
    assert message.stages[1].budget.ToNanoseconds() == 2_000_000
    assert message.total.ToNanoseconds() == 2_500_000_000
    assert message.unaccounted.ToNanoseconds() == 492_000_000


def test_an_error_of_a_batch_says_code_reason_and_field() -> None:
    written = search_error(InvalidInput("limit", "is 5000, at most 1000", reason="OUT_OF_RANGE"))
    assert (written.code, written.reason, written.field) == (3, "OUT_OF_RANGE", "limit")
    assert "at most 1000" in written.message
    assert search_error(Overloaded("full")).code == 8


def test_an_internal_error_of_a_batch_keeps_its_text_to_itself() -> None:
    assert "secret" not in search_error(InternalError("secret")).message


@pytest.mark.parametrize(("count", "reason"), [(0, "EMPTY_BATCH"), (4, "TOO_MANY")])
def test_a_batch_has_one_to_the_maximum_of_requests(count: int, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_batch([SearchRequest(text="a")] * count, 3)
    assert caught.value.violations[0].field == "requests"
    assert caught.value.reason == reason


def test_a_target_that_was_never_seen_has_no_age() -> None:
    states = [
        TargetState("encoder", "e:1", is_serving=False, detail="not checked yet"),
        TargetState("shard-0", "s:1", is_serving=True, passage_count=9, age_ns=8_000_000),
    ]
    message = topology_response("r1", "0.1", states)
    assert (message.release_id, message.version) == ("r1", "0.1")
    assert not message.targets[0].HasField("last_seen")
    assert message.targets[0].detail == "not checked yet"
    assert message.targets[1].last_seen.ToNanoseconds() == 8_000_000
    assert message.targets[1].passage_count == 9
