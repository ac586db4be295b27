"""A gateway whose servers are slow, gone, full, wrong or of another release."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from retrieval.v1.common_pb2 import STAGE_ENCODE, STAGE_SEARCH, Timings
from retrieval.v1.retrieval_pb2 import (
    BatchSearchRequest,
    Degradation,
    GetTopologyRequest,
    MissingShard,
    SearchRequest,
    SearchResponse,
)

from gateway.servicer import TIMINGS_KEY
from retrieval_core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    Overloaded,
    RetrievalError,
    Unavailable,
)
from servicekit.matrices import matrix_to_message
from servicekit.status import error_from_rpc, trailing_bytes
from tests.support.fake_backends import shard_service, text_vector
from tests.support.gateway_stack import gateway_stack, start_service

QUERY = SearchRequest(text="passage 7", limit=5, skip_rerank=True)
VECTOR = SearchRequest(vector=matrix_to_message(text_vector("passage 7")), skip_rerank=True)


def ids(response: SearchResponse) -> list[int]:
    return [hit.passage.passage_id for hit in response.hits]


async def failure(call: Any) -> tuple[RetrievalError, grpc.RpcError]:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return error_from_rpc(caught.value), caught.value


def steps(response: SearchResponse) -> list[tuple[int, str]]:
    return [(one.step, one.reason) for one in response.degradations]


async def until(condition: Any, limit_s: float = 20.0) -> float:
    """Wait for an awaitable condition; returns the seconds it took."""
    started = time.monotonic()
    async with asyncio.timeout(limit_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in the gateway
            await asyncio.sleep(0.02)
    return time.monotonic() - started


async def test_a_dead_shard_costs_coverage_and_its_return_is_noticed() -> None:
    async with gateway_stack(check_interval_ms=1000.0) as stack:
        address = stack.servers["shard-1"].address
        await stack.stop("shard-1")
        for _ in range(10):
            response = await stack.stub.Search(QUERY)
            assert response.coverage.ratio == 0.5
            missing = response.coverage.missing[0]
            assert missing.target == "shard-1"
            assert missing.reason == MissingShard.REASON_UNREACHABLE
            assert steps(response) == [(Degradation.STEP_PARTIAL_COVERAGE, "SHARDS_UNREACHABLE")]
            assert all(one % 2 == 0 for one in ids(response))
        count = stack.process.metrics.value
        assert count("gateway_arm_incomplete_total", arm="baseline") == 10
        assert count("gateway_arm_queries_total", arm="baseline") == 10
        port = int(address.rpartition(":")[2])
        await start_service(stack, "shard-1", shard_service(stack.shards[1]), port)

        async def is_complete() -> bool:
            return bool((await stack.stub.Search(QUERY)).coverage.ratio == 1.0)

        assert await until(is_complete) < 5.0


async def test_a_slow_shard_is_left_out_and_its_call_cancelled() -> None:
    async with gateway_stack(shard_grace_ms=20.0, shard_grace_factor=0.0) as stack:
        stack.shards[1].behaviour.close_gate()
        response = await stack.stub.Search(QUERY)
        assert response.coverage.ratio == 0.5
        assert response.coverage.missing[0].reason == MissingShard.REASON_TIMED_OUT
        entries = [one for one in response.timings.stages if one.stage == STAGE_SEARCH]
        assert [one.target for one in entries] == ["shard-0", "shard-1"]
        assert entries[1].elapsed.ToNanoseconds() >= 15_000_000
        await asyncio.wait_for(stack.shards[1].behaviour.cancelled.wait(), 10)


async def test_a_shard_that_keeps_timing_out_is_set_aside_and_tried_again() -> None:
    settings: dict[str, Any] = {
        "shard_grace_ms": 20.0,
        "shard_grace_factor": 0.0,
        "set_aside_after": 3,
    }
    async with gateway_stack(**settings, check_interval_ms=3_600_000.0) as stack:
        slow = stack.shards[1].behaviour
        slow.close_gate()

        async def is_set_aside() -> bool:
            response = await stack.stub.Search(QUERY)
            assert response.coverage.ratio == 0.5
            return "set aside" in response.coverage.missing[0].detail

        # Its checks succeed, so that it is tried once more before it rests until the next check.
        await until(is_set_aside)
        asked = slow.call_count
        assert asked >= 3
        slow.open_gate()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Overloaded("full"), MissingShard.REASON_OVERLOADED),
        (InternalError("secret"), MissingShard.REASON_FAILED),
    ],
)
async def test_a_shard_that_answers_with_an_error_is_missing_for_that_reason(
    error: RetrievalError, reason: MissingShard.Reason
) -> None:
    async with gateway_stack() as stack:
        stack.shards[0].behaviour.error = error
        response = await stack.stub.Search(QUERY)
        missing = response.coverage.missing[0]
        assert (missing.target, missing.reason) == ("shard-0", reason)
        assert "secret" not in missing.detail


async def test_with_all_shards_gone_there_is_no_answer_though_partial_ones_are_allowed() -> None:
    async with gateway_stack(min_coverage=0.0) as stack:
        await stack.stop("shard-0")
        await stack.stop("shard-1")
        error, raw = await failure(stack.stub.Search(QUERY))
        assert isinstance(error, Unavailable)
        assert error.reason == "NO_SHARD_ANSWERED"
        timings = Timings.FromString(trailing_bytes(raw, TIMINGS_KEY) or b"")
        assert {one.stage for one in timings.stages} == {STAGE_ENCODE, STAGE_SEARCH}
        assert timings.total.ToNanoseconds() > 0


async def test_below_the_minimum_coverage_there_is_no_answer() -> None:
    async with gateway_stack(min_coverage=0.75) as stack:
        await stack.stop("shard-1")
        error, _ = await failure(stack.stub.Search(QUERY))
        assert isinstance(error, Unavailable)
        assert error.reason == "COVERAGE_TOO_LOW"


async def test_overload_of_all_shards_stays_overload() -> None:
    async with gateway_stack() as stack:
        for shard in stack.shards:
            shard.behaviour.error = Overloaded("full", reason="OVERLOADED")
        error, _ = await failure(stack.stub.Search(QUERY))
        assert isinstance(error, Overloaded)


async def test_vectors_of_another_encoder_are_refused() -> None:
    async with gateway_stack() as stack:
        request = SearchRequest(vector=VECTOR.vector, fingerprint="sha256:other")
        error, _ = await failure(stack.stub.Search(request))
        assert isinstance(error, FailedPrecondition)
        assert error.reason == "FINGERPRINT_MISMATCH"


async def test_a_shard_of_another_encoder_is_missing() -> None:
    async with gateway_stack() as stack:
        stack.shards[1].fingerprint = "sha256:other"
        response = await stack.stub.Search(QUERY)
        missing = response.coverage.missing[0]
        assert (missing.target, missing.reason) == ("shard-1", MissingShard.REASON_FAILED)
        assert "FINGERPRINT_MISMATCH" in missing.detail


async def test_a_shard_of_another_release_is_missing() -> None:
    async with gateway_stack(shard_count=3) as stack:
        stack.shards[2].release_id = "tiny-2"
        response = await stack.stub.Search(QUERY)
        assert response.release_id == "tiny-1"
        assert response.coverage.missing[0].target == "shard-2"
        assert "RELEASE_MISMATCH" in response.coverage.missing[0].detail


async def test_a_corpus_with_more_shards_than_addresses_is_not_complete() -> None:
    async with gateway_stack() as stack:
        for shard in stack.shards:
            shard.shard_count = 4

        async def is_told() -> bool:
            return bool((await stack.stub.Search(QUERY)).coverage.shards_asked == 4)

        await until(is_told)
        response = await stack.stub.Search(QUERY)
        assert response.coverage.ratio == 0.5


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("gone"), "RERANKER_UNREACHABLE"),
        (Overloaded("full"), "RERANKER_OVERLOADED"),
        (InternalError("oops"), "RERANKER_FAILED"),
        (FailedPrecondition("other", reason="FINGERPRINT_MISMATCH"), "FINGERPRINT_MISMATCH"),
    ],
)
async def test_without_the_reranker_the_order_of_the_search_stands(
    error: RetrievalError, reason: str
) -> None:
    async with gateway_stack() as stack:
        stack.reranker.behaviour.error = error
        response = await stack.stub.Search(SearchRequest(text="passage 7", limit=5))
        assert ids(response) == stack.corpus.best(text_vector("passage 7"), 5)
        assert steps(response) == [(Degradation.STEP_SKIP_RERANK, reason)]


async def test_a_slow_reranker_costs_its_timeout_and_no_more() -> None:
    async with gateway_stack(rerank_timeout_ms=30.0) as stack:
        stack.reranker.behaviour.close_gate()
        response = await stack.stub.Search(SearchRequest(text="passage 7", limit=5))
        assert steps(response) == [(Degradation.STEP_SKIP_RERANK, "RERANKER_TIMED_OUT")]
        assert ids(response) == stack.corpus.best(text_vector("passage 7"), 5)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"rerank_enabled": False}, "RERANKER_OFF"), ({"reranker": ()}, "RERANKER_NOT_CONFIGURED")],
)
async def test_a_reranker_that_is_off_or_absent_is_said_so(
    settings: dict[str, Any], reason: str
) -> None:
    async with gateway_stack(**settings) as stack:
        response = await stack.stub.Search(SearchRequest(text="passage 7"))
        assert steps(response) == [(Degradation.STEP_SKIP_RERANK, reason)]


async def test_shards_without_projections_are_not_reranked() -> None:
    async with gateway_stack() as stack:
        stack.shards[0].with_projections = False
        response = await stack.stub.Search(SearchRequest(text="passage 7"))
        assert steps(response) == [(Degradation.STEP_SKIP_RERANK, "PROJECTIONS_MISSING")]


async def test_without_the_encoder_texts_fail_and_vectors_are_answered() -> None:
    async with gateway_stack() as stack:
        await stack.stop("encoder")
        error, _ = await failure(stack.stub.Search(QUERY))
        assert isinstance(error, Unavailable)
        response = await stack.stub.Search(VECTOR)
        assert response.hits[0].passage.passage_id == 7


async def test_a_deadline_ends_the_wait_for_the_encoder() -> None:
    async with gateway_stack() as stack:
        stack.encoder.behaviour.close_gate()
        started = time.monotonic()
        error, _ = await failure(stack.stub.Search(QUERY, timeout=0.2))
        assert isinstance(error, DeadlineExceeded)
        assert 0.15 < time.monotonic() - started < 5.0
        await asyncio.wait_for(stack.encoder.behaviour.cancelled.wait(), 10)


async def test_a_call_without_a_deadline_gets_the_default_one() -> None:
    async with gateway_stack(default_deadline_ms=200.0) as stack:
        stack.encoder.behaviour.close_gate()
        error, raw = await failure(stack.stub.Search(QUERY))
        assert isinstance(error, DeadlineExceeded)
        timings = Timings.FromString(trailing_bytes(raw, TIMINGS_KEY) or b"")
        assert timings.stages[0].stage == STAGE_ENCODE
        assert timings.stages[0].elapsed.ToNanoseconds() > 100_000_000


async def test_a_caller_that_leaves_leaves_no_work_behind() -> None:
    async with gateway_stack() as stack:
        stack.shards[0].behaviour.close_gate()
        call = stack.stub.Search(QUERY)
        await asyncio.wait_for(stack.shards[0].behaviour.entered.wait(), 10)
        call.cancel()
        await asyncio.wait_for(stack.shards[0].behaviour.cancelled.wait(), 10)

        async def is_idle() -> bool:
            return stack.process.admission.in_flight == 0

        await until(is_idle)
        stack.shards[0].behaviour.open_gate()
        assert (await stack.stub.Search(QUERY)).coverage.ratio == 1.0


async def test_more_calls_than_admitted_are_refused_at_once() -> None:
    async with gateway_stack(in_flight_limit=2, max_batch=2) as stack:
        stack.encoder.behaviour.close_gate()
        waiting = [asyncio.ensure_future(stack.stub.Search(QUERY)) for _ in range(2)]

        async def is_full() -> bool:
            return stack.process.admission.in_flight == 2

        await until(is_full)
        error, _ = await failure(stack.stub.Search(QUERY))
        assert isinstance(error, Overloaded)
        stack.encoder.behaviour.open_gate()
        for response in await asyncio.gather(*waiting):
            assert len(response.hits) == 5


async def test_every_request_of_a_batch_counts_against_the_same_limit() -> None:
    async with gateway_stack(in_flight_limit=4, max_batch=4) as stack:
        stack.encoder.behaviour.close_gate()
        single = asyncio.ensure_future(stack.stub.Search(QUERY))
        await asyncio.wait_for(stack.encoder.behaviour.entered.wait(), 10)
        error, _ = await failure(stack.stub.BatchSearch(BatchSearchRequest(requests=[QUERY] * 4)))
        assert isinstance(error, Overloaded)
        fits = asyncio.ensure_future(
            stack.stub.BatchSearch(BatchSearchRequest(requests=[QUERY] * 3))
        )

        async def is_full() -> bool:
            return stack.process.admission.in_flight == 4

        await until(is_full)
        error, _ = await failure(stack.stub.Search(QUERY))
        assert isinstance(error, Overloaded)
        stack.encoder.behaviour.open_gate()
        await single
        assert len((await fits).results) == 3
        assert stack.process.admission.in_flight == 0


async def test_requests_of_a_batch_that_run_out_of_time_fail_alone() -> None:
    async with gateway_stack(batch_concurrency=2) as stack:
        stack.shards[0].behaviour.close_gate()
        stack.shards[1].behaviour.close_gate()
        batch = BatchSearchRequest(requests=[SearchRequest(text=""), *[QUERY] * 3])
        response = await stack.stub.BatchSearch(batch, timeout=1.0)
        assert response.results[0].error.field == "text"
        assert {one.error.reason for one in response.results[1:]} == {"DEADLINE_EXCEEDED"}


async def test_health_and_topology_follow_the_servers() -> None:
    async with gateway_stack() as stack, aiohttp.ClientSession() as http:
        stub = health_pb2_grpc.HealthStub(stack.channel)
        check = health_pb2.HealthCheckRequest(service="retrieval.v1.RetrievalService")

        async def status_is(status: str, code: int) -> bool:
            async with http.get(f"http://{stack.http_address}/health") as response:
                return response.status == code and (await response.json())["status"] == status

        async def is_degraded() -> bool:
            return await status_is("degraded", 200)

        async def is_unavailable() -> bool:
            return await status_is("unavailable", 503)

        await stack.stop("shard-1")
        await until(is_degraded)
        topology = await stack.stub.GetTopology(GetTopologyRequest())
        by_name = {one.name: one for one in topology.targets}
        assert by_name["shard-0"].serving
        assert not by_name["shard-1"].serving
        assert by_name["shard-1"].detail
        await stack.stop("shard-0")
        await until(is_unavailable)
        # The gateway itself is sound: it tells callers what is wrong instead of vanishing.
        assert (await stub.Check(check)).status == health_pb2.HealthCheckResponse.SERVING


async def test_a_gateway_starts_before_its_servers() -> None:
    settings: dict[str, Any] = {
        "encoder": ("127.0.0.1:9",),
        "shards": "127.0.0.1:9",
        "reranker": (),
    }
    async with gateway_stack(**settings) as stack, aiohttp.ClientSession() as http:
        error, _ = await failure(stack.stub.Search(VECTOR))
        assert isinstance(error, Unavailable)
        async with http.get(f"http://{stack.http_address}/health") as response:
            assert response.status == 503
