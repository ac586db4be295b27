from __future__ import annotations

import dataclasses

import pytest
from retrieval.v1 import common_pb2, retrieval_pb2

from retrieval_client.converters import search_result, timings_of, topology_of
from retrieval_client.exchange import batch_items, target_list
from retrieval_client.results import SearchResult
from retrieval_core.errors import InvalidInput, Overloaded
from retrieval_core.timing import Stage
from servicekit.durations import duration_from_ns


def stage_message(
    stage: common_pb2.Stage.ValueType, target: str, elapsed_ns: int
) -> common_pb2.StageTiming:
    return common_pb2.StageTiming(
        stage=stage,
        target=target,
        elapsed=duration_from_ns(elapsed_ns),
        queued=duration_from_ns(elapsed_ns // 10),
        budget=duration_from_ns(4_000_000),
    )


def response() -> retrieval_pb2.SearchResponse:
    return retrieval_pb2.SearchResponse(
        hits=[
            retrieval_pb2.Hit(
                passage=common_pb2.Passage(
                    passage_id=-3, article_id="csv", position=4, lane="docs", text="Read rows."
                ),
                score=0.75,
                explanation=retrieval_pb2.Explanation(
                    cosine=0.5,
                    margin=0.25,
                    rank_before=2,
                    rank_after=1,
                    same_article_count=3,
                    features=[retrieval_pb2.Feature(name="cosine", value=0.5)],
                ),
            ),
            retrieval_pb2.Hit(passage=common_pb2.Passage(passage_id=9), score=0.5),
        ],
        timings=common_pb2.Timings(
            stages=[
                stage_message(common_pb2.STAGE_ENCODE, "encoder", 2_500_001),
                stage_message(common_pb2.STAGE_SEARCH, "shard-0", 1_000_000),
                stage_message(common_pb2.STAGE_SEARCH, "shard-1", 1_250_000),
            ],
            total=duration_from_ns(4_000_001),
        ),
        coverage=retrieval_pb2.Coverage(
            shards_asked=2,
            shards_answered=1,
            ratio=0.5,
            missing=[
                retrieval_pb2.MissingShard(
                    target="shard-1",
                    reason=retrieval_pb2.MissingShard.REASON_UNREACHABLE,
                    detail="connection refused",
                )
            ],
        ),
        degradations=[
            retrieval_pb2.Degradation(
                step=retrieval_pb2.Degradation.STEP_SKIP_RERANK, reason="RERANKER_TIMED_OUT"
            )
        ],
        release_id="demo",
        fingerprint="sha256:ab",
        query_model="mean",
        truncated=True,
        nprobe=8,
        arm="canary",
        flags_generation=3,
    )


def test_a_response_becomes_a_result_without_messages_in_it() -> None:
    result = search_result(response(), client_elapsed_ns=5_000_000)
    hit = result.hits[0]
    assert (hit.passage_id, hit.article_id, hit.position, hit.lane) == (-3, "csv", 4, "docs")
    assert (hit.score, hit.text) == (0.75, "Read rows.")
    assert hit.explanation is not None
    assert (hit.explanation.rank_before, hit.explanation.rank_after) == (2, 1)
    assert hit.explanation.features == {"cosine": 0.5}
    assert result.hits[1].explanation is None
    assert result.coverage.ratio == 0.5
    assert result.coverage.missing[0].reason == "UNREACHABLE"
    assert result.degradations[0].step == "SKIP_RERANK"
    assert (result.release_id, result.query_model, result.nprobe) == ("demo", "mean", 8)
    assert (result.arm, result.flags_generation) == ("canary", 3)
    assert result.truncated
    assert result.client_elapsed_ns == 5_000_000


def test_results_cannot_be_changed() -> None:
    result = search_result(response())
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.release_id = "other"  # type: ignore[misc]


def test_timings_keep_every_nanosecond_and_count_a_parallel_stage_once() -> None:
    timings = timings_of(response().timings)
    assert [(entry.stage, entry.target) for entry in timings.stages] == [
        (Stage.ENCODE, "encoder"),
        (Stage.SEARCH, "shard-0"),
        (Stage.SEARCH, "shard-1"),
    ]
    assert timings.stages[0].elapsed_ns == 2_500_001
    assert timings.stages[0].queued_ns == 250_000
    assert timings.unaccounted_ns == 4_000_001 - 2_500_001 - 1_250_000


def test_what_a_newer_server_says_is_shown_and_not_fatal() -> None:
    message = response()
    # Numbers of a later version of the protocol.
    message.timings.stages.add(stage=77, target="new")
    message.degradations.add(step=88)
    message.coverage.missing.add(reason=99)
    result = search_result(message)
    assert len(result.timings.stages) == 3
    assert result.degradations[1].step == "88"
    assert result.coverage.missing[1].reason == "99"


def test_a_batch_keeps_results_and_errors_in_their_places() -> None:
    message = retrieval_pb2.BatchSearchResponse(
        results=[
            retrieval_pb2.BatchSearchResult(response=response()),
            retrieval_pb2.BatchSearchResult(
                error=retrieval_pb2.SearchError(
                    code=3, reason="EMPTY_TEXT", message="is empty", field="text"
                )
            ),
            retrieval_pb2.BatchSearchResult(
                error=retrieval_pb2.SearchError(code=8, reason="QUEUE_FULL", message="full")
            ),
        ]
    )
    first, second, third = batch_items(message)
    assert isinstance(first, SearchResult)
    assert isinstance(second, InvalidInput)
    assert second.violations[0].field == "text"
    assert isinstance(third, Overloaded)
    assert third.reason == "QUEUE_FULL"


def test_topology_lists_its_targets() -> None:
    topology = topology_of(
        retrieval_pb2.GetTopologyResponse(
            release_id="demo",
            version="0.1.0",
            targets=[
                retrieval_pb2.Target(
                    name="shard-0",
                    address="127.0.0.1:1",
                    serving=True,
                    passage_count=12,
                    lanes=["docs"],
                    last_seen=duration_from_ns(1_500_000),
                )
            ],
        )
    )
    target = topology.targets[0]
    assert (topology.release_id, target.name, target.serving) == ("demo", "shard-0", True)
    assert (target.passage_count, target.lanes, target.last_seen_ns) == (12, ("docs",), 1_500_000)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("name:1", ["name:1"]),
        ("10.0.0.1:1, 10.0.0.2:2,", ["10.0.0.1:1", "10.0.0.2:2"]),
        (["10.0.0.1:1", " 10.0.0.2:2 "], ["10.0.0.1:1", "10.0.0.2:2"]),
    ],
)
def test_targets_come_as_one_text_or_as_a_list(given: str | list[str], expected: list[str]) -> None:
    assert target_list(given) == expected


@pytest.mark.parametrize("given", ["", [], "name:1,other:2"])
def test_targets_that_no_channel_can_hold_are_refused(given: str | list[str]) -> None:
    with pytest.raises(InvalidInput, match="targets"):
        target_list(given)
