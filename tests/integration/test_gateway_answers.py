"""A gateway over two shards on sockets: answers, accounts, explanations, topology, HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from retrieval.v1.common_pb2 import (
    STAGE_ENCODE,
    STAGE_MERGE,
    STAGE_QUERY_MODEL,
    STAGE_RERANK,
    STAGE_SEARCH,
)
from retrieval.v1.encoder_pb2 import Context, ContextItem
from retrieval.v1.retrieval_pb2 import (
    BatchSearchRequest,
    GetTopologyRequest,
    SearchRequest,
    SearchResponse,
)

from retrieval_core.vectors import mean_direction
from servicekit.matrices import matrix_to_message
from tests.support.fake_backends import FINGERPRINT, RELEASE, lane_of, text_vector
from tests.support.gateway_stack import GatewayStack, gateway_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[GatewayStack]:
    async with gateway_stack() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def ids(response: SearchResponse) -> list[int]:
    return [hit.passage.passage_id for hit in response.hits]


async def test_a_text_finds_its_own_passage_first(stack: GatewayStack) -> None:
    request = SearchRequest(text="passage 7", limit=5, skip_rerank=True)
    response = await stack.stub.Search(request)
    assert ids(response) == stack.corpus.best(text_vector("passage 7"), 5)
    first = response.hits[0]
    assert first.passage.passage_id == 7
    assert first.passage.text == "passage 7"
    assert first.passage.article_id == "article-1"
    assert first.passage.position == 3
    assert first.passage.lane == "help"
    assert abs(first.score - 1.0) < 1e-5
    assert response.release_id == RELEASE
    assert response.fingerprint == FINGERPRINT
    assert response.nprobe == 8
    assert not response.degradations


async def test_a_vector_finds_what_its_text_finds(stack: GatewayStack) -> None:
    vector = matrix_to_message(text_vector("passage 7") * np.float32(3.0))
    by_vector = await stack.stub.Search(SearchRequest(vector=vector, skip_rerank=True))
    by_text = await stack.stub.Search(SearchRequest(text="passage 7", skip_rerank=True))
    assert ids(by_vector) == ids(by_text)
    assert by_vector.fingerprint == ""


async def test_a_context_of_texts_and_vectors_goes_through_the_query_model(
    stack: GatewayStack,
) -> None:
    items = [
        ContextItem(text="passage 3"),
        ContextItem(vector=matrix_to_message(text_vector("passage 4"))),
    ]
    request = SearchRequest(
        context=Context(items=items), skip_rerank=True, excluded_passage_ids=[3]
    )
    response = await stack.stub.Search(request)
    mean = mean_direction(np.concatenate([text_vector("passage 3"), text_vector("passage 4")]))
    expected = [one for one in stack.corpus.best(mean, 11) if one != 3][:10]
    assert ids(response) == expected
    assert response.query_model == "mean"
    assert STAGE_QUERY_MODEL in {one.stage for one in response.timings.stages}


async def test_the_reranker_changes_the_order_of_the_best_fifty(stack: GatewayStack) -> None:
    response = await stack.stub.Search(SearchRequest(text="passage 7", limit=50))
    best = stack.corpus.best(text_vector("passage 7"), 50)
    assert ids(response) == best[::-1]
    scores = [hit.score for hit in response.hits]
    assert scores == sorted(scores, reverse=True)


async def test_candidates_beyond_fifty_follow_in_the_order_of_the_search(
    stack: GatewayStack,
) -> None:
    response = await stack.stub.Search(SearchRequest(text="passage 7", limit=60))
    best = stack.corpus.best(text_vector("passage 7"), 60)
    assert ids(response) == best[:50][::-1] + best[50:]
    assert len(stack.reranker.last_request.passage_ids) == 50


async def test_lanes_and_exclusions_hold(stack: GatewayStack) -> None:
    request = SearchRequest(
        text="passage 7", lanes=["news"], excluded_passage_ids=[8, 10], limit=200
    )
    response = await stack.stub.Search(request)
    expected = {one for one in range(200) if lane_of(one) == "news"} - {8, 10}
    assert set(ids(response)) == expected


async def test_the_account_adds_up_and_names_every_shard(stack: GatewayStack) -> None:
    timings = (await stack.stub.Search(SearchRequest(text="passage 7"))).timings
    targets = [(one.stage, one.target) for one in timings.stages]
    assert targets == [
        (STAGE_ENCODE, "encoder"),
        (STAGE_SEARCH, "shard-0"),
        (STAGE_SEARCH, "shard-1"),
        (STAGE_MERGE, "gateway"),
        (STAGE_RERANK, "reranker"),
    ]
    longest: dict[int, int] = {}
    for one in timings.stages:
        longest[one.stage] = max(longest.get(one.stage, 0), one.elapsed.ToNanoseconds())
        assert one.budget.ToNanoseconds() > 0
    total = timings.total.ToNanoseconds()
    assert sum(longest.values()) + timings.unaccounted.ToNanoseconds() == total
    assert total > 0


async def test_explanations_tell_ranks_cosines_and_features(stack: GatewayStack) -> None:
    response = await stack.stub.Search(SearchRequest(text="passage 7", limit=50, explain=True))
    by_rank_before = {hit.explanation.rank_before: hit for hit in response.hits}
    assert sorted(by_rank_before) == list(range(1, 51))
    first = by_rank_before[1]
    assert first.passage.passage_id == 7
    assert first.explanation.rank_after == 50
    assert first.explanation.margin == 0.0
    assert abs(first.explanation.cosine - 1.0) < 1e-5
    for rank, hit in enumerate(response.hits, 1):
        explanation = hit.explanation
        assert explanation.rank_after == rank
        assert [one.name for one in explanation.features] == ["cosine", "negated"]
        assert explanation.features[0].value == pytest.approx(explanation.cosine, abs=1e-6)
        article = hit.passage.article_id
        same = sum(other.passage.article_id == article for other in response.hits)
        assert explanation.same_article_count == same


async def test_the_same_question_has_the_same_answer(stack: GatewayStack) -> None:
    request = SearchRequest(text="anything at all", limit=50, explain=True)
    answers = await asyncio.gather(*(stack.stub.Search(request) for _ in range(20)))
    for answer in answers:
        answer.ClearField("timings")
    assert all(answer == answers[0] for answer in answers)


async def test_a_batch_answers_what_single_calls_answer(stack: GatewayStack) -> None:
    requests = [SearchRequest(text=f"passage {one}", limit=3) for one in range(16)]
    batch = await stack.stub.BatchSearch(BatchSearchRequest(requests=requests))
    for request, result in zip(requests, batch.results, strict=True):
        single = await stack.stub.Search(request)
        assert ids(result.response) == ids(single)
        assert result.response.timings.total.ToNanoseconds() > 0


async def test_the_topology_tells_what_every_server_serves(stack: GatewayStack) -> None:
    topology = await stack.stub.GetTopology(GetTopologyRequest())
    assert topology.release_id == RELEASE
    assert [one.name for one in topology.targets] == ["encoder", "shard-0", "shard-1", "reranker"]
    assert all(one.serving for one in topology.targets)
    shard = topology.targets[1]
    assert (shard.passage_count, list(shard.lanes)) == (100, ["news", "help"])
    assert shard.address == stack.servers["shard-0"].address
    assert shard.HasField("last_seen")


async def read_health(stack: GatewayStack, http: aiohttp.ClientSession) -> tuple[int, Any]:
    async with http.get(f"http://{stack.http_address}/health") as response:
        return response.status, await response.json()


async def test_health_tells_version_release_servers_and_stages(
    stack: GatewayStack, http: aiohttp.ClientSession
) -> None:
    await stack.stub.Search(SearchRequest(text="passage 7"))
    status, body = await read_health(stack, http)
    assert status == 200
    assert body["status"] == "ok"
    assert body["release"] == RELEASE
    assert body["version"]
    assert set(body["services"]) == {"encoder", "shard-0", "shard-1", "reranker"}
    assert body["stages"]["SEARCH"]["budget_ms"] == 3.0
    for name in ("ENCODE", "SEARCH", "MERGE", "RETRIEVAL", "RERANK", "TOTAL", "UNACCOUNTED"):
        stage = body["stages"][name]
        assert stage["count"] >= 1
        assert 0 <= stage["p50_ms"] <= stage["p95_ms"] <= stage["p99_ms"]


async def test_metrics_are_prometheus_text(
    stack: GatewayStack, http: aiohttp.ClientSession
) -> None:
    await stack.stub.Search(SearchRequest(text="passage 7"))
    async with http.get(f"http://{stack.http_address}/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await response.text()
    lines = text.splitlines()
    assert any(
        line.startswith('gateway_stage_duration_seconds_bucket{le="0.008"') for line in lines
    )
    assert 'gateway_target_serving{target="shard-1"} 1.0' in lines
    assert any(line.startswith('gateway_requests_total{kind="text"}') for line in lines)
    assert any(line.startswith("rpc_server_calls_total{") for line in lines)


async def test_the_page_for_people_asks_health(
    stack: GatewayStack, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"http://{stack.http_address}/") as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        page = await response.text()
    assert 'fetch("health")' in page
    assert "http://" not in page.replace("http://www.w3.org", "")


async def test_a_path_that_is_not_served_is_not_found(
    stack: GatewayStack, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"http://{stack.http_address}/nothing") as response:
        assert response.status == 404
