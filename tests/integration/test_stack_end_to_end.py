"""The whole stack as processes over a release of text files: queries, crashes, drains."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from retrieval.v1 import encoder_pb2, encoder_pb2_grpc

from deploy.local.layout import Replicas
from deploy.local.processes import send, wait_until_gone
from deploy.local.stack import LocalStack
from retrieval_client import RetrievalClient
from retrieval_core.errors import InvalidInput
from retrieval_core.timing import Stage
from tests.support.local_stacks import (
    ROOT,
    Load,
    addresses_of,
    asked_until,
    build_text_release,
    running_stack,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Encoder, two shards, reranker and gateway."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(build_text_release(folder, shard_count=2), folder / "run") as running:
        yield running


@pytest.fixture(scope="module")
def client(stack: LocalStack) -> Iterator[RetrievalClient]:
    with RetrievalClient(addresses_of(stack, "gateway"), timeout_ms=10_000) as connected:
        connected.wait_until_ready(30)
        yield connected


def encode(stack: LocalStack, text: str) -> np.ndarray:
    with grpc.insecure_channel(addresses_of(stack, "encoder_svc")[0]) as channel:
        stub = encoder_pb2_grpc.EncoderServiceStub(channel)
        answer = stub.Encode(encoder_pb2.EncodeRequest(texts=[text]), timeout=10)
    return np.frombuffer(answer.vectors.values, "<f4")


def test_a_text_finds_the_passage_that_says_it(client: RetrievalClient) -> None:
    text = "Oil the chain when it squeaks."
    best = client.search(text, skip_rerank=True).hits[0]
    assert best.text == text
    assert "bicycles" in best.article_id
    assert best.score == pytest.approx(1.0, abs=0.01)
    result = client.search(text, limit=5)
    assert len(result.hits) == 5
    assert result.coverage.ratio == 1.0
    assert result.release_id == "tiny-2"


def test_every_stage_is_accounted_for(client: RetrievalClient) -> None:
    timings = client.search("Prune the roses in late winter.").timings
    targets = {(entry.stage, entry.target) for entry in timings.stages}
    assert targets >= {
        (Stage.ENCODE, "encoder"),
        (Stage.SEARCH, "shard-0"),
        (Stage.SEARCH, "shard-1"),
        (Stage.MERGE, "gateway"),
    }
    parts = timings.retrieval_ns + timings.unaccounted_ns
    assert 0 < parts <= timings.total_ns


def test_the_vector_of_a_text_finds_what_the_text_finds(
    stack: LocalStack, client: RetrievalClient
) -> None:
    text = "a telescope gathers light"
    by_text = client.search(text, exact=True, limit=10)
    by_vector = client.search(vector=encode(stack, text), exact=True, limit=10)
    assert [hit.passage_id for hit in by_vector.hits] == [hit.passage_id for hit in by_text.hits]
    assert all(entry.stage is not Stage.ENCODE for entry in by_vector.timings.stages)


def test_a_context_is_answered_without_its_own_passages(client: RetrievalClient) -> None:
    passages = client.search("Knead the dough until it is smooth.", limit=2).hits
    context_ids = [hit.passage_id for hit in passages]
    result = client.search(
        context=[hit.text for hit in passages], excluded_passage_ids=context_ids, limit=24
    )
    assert result.hits
    assert not set(context_ids) & {hit.passage_id for hit in result.hits}
    assert result.query_model == "amn_v0"
    assert "QUERY_MODEL_FALLBACK" not in {item.step for item in result.degradations}


@pytest.mark.parametrize("name", ["gru_v0", "recency", "mean", "last"])
def test_the_query_model_that_is_asked_for_answers(client: RetrievalClient, name: str) -> None:
    context = ["Knead the dough until it is smooth.", "Let it rest in a warm place."]
    result = client.search(context=context, query_model=name)
    assert result.query_model == name
    assert "QUERY_MODEL_FALLBACK" not in {item.step for item in result.degradations}


def test_lanes_hold_a_query_to_their_articles(client: RetrievalClient) -> None:
    assert {hit.lane for hit in client.search("anything", limit=24, lanes=["home"]).hits} == {
        "home"
    }


def test_explanations_say_where_a_hit_came_from(client: RetrievalClient) -> None:
    hits = client.search("Castle early.", limit=3, explain=True).hits
    explanations = [hit.explanation for hit in hits if hit.explanation is not None]
    assert [why.rank_after for why in explanations] == [1, 2, 3]
    assert min(why.margin for why in explanations) >= 0


def test_bad_input_is_refused_by_name_and_does_no_harm(client: RetrievalClient) -> None:
    with pytest.raises(InvalidInput) as raised:
        client.search("")
    assert raised.value.violations[0].field == "text"
    with pytest.raises(InvalidInput):
        client.search(vector=np.zeros(768, np.float32))
    assert client.search("fit as before").hits


def test_topology_and_health_name_every_server(stack: LocalStack, client: RetrievalClient) -> None:
    assert {target.name for target in client.topology().targets if target.serving} == {
        "encoder",
        "shard-0",
        "shard-1",
        "reranker",
    }
    port = stack.state().server("gateway").spec.other_ports[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        assert json.load(answer)["release"] == "tiny-2"


@pytest.mark.parametrize(("release", "status"), [("tiny-2", 0), ("another", 1)])
def test_up_while_up_says_so_and_succeeds_for_the_same_release_only(
    stack: LocalStack, tmp_path: Path, release: str, status: int
) -> None:
    served = stack.state().release
    folder = served
    if release != "tiny-2":
        folder = tmp_path / release
        shutil.copytree(served, folder)
    arguments = ["up", "--release", str(folder), "--run-folder", str(stack.folder)]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status
    assert "a stack is up already" in done.stderr
    assert str(served) in done.stderr


def test_the_load_benchmark_measures_every_stage_and_process(
    stack: LocalStack, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-m", "benchmarks.load", "--run-folder", str(stack.folder)),
        *("--rate", "20", "--callers", "2", "--duration-s", "1", "--warmup", "5"),
        *("--mix", "text=2,context=1,vector=1", "--timeout-ms", "10000"),
        *("--out", str(tmp_path), "--json"),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=100, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    written = json.loads(next(tmp_path.glob("load-*.json")).read_text())
    assert json.loads(done.stdout) == written
    opened, closed = written["phases"]
    assert (opened["offered_per_s"], closed["caller_count"]) == (20, 2)
    for phase in (opened, closed):
        assert phase["outcomes"] == {"OK": phase["request_count"]}
        assert set(phase["by_kind_ms"]) == {"text", "context", "vector"}
        assert {"ENCODE", "SEARCH", "retrieval", "total", "response"} <= set(phase["latency_ms"])
        # Two shards and the gateway cannot have answered without spending time.
        assert sum(process["cpu_s"] for process in phase["processes"]) > 0
        assert min(process["peak_bytes"] for process in phase["processes"]) > 10_000_000
    assert {process["name"] for process in opened["processes"]} >= {"encoder", "gateway"}


def test_a_killed_shard_halves_the_coverage_until_it_is_back(
    stack: LocalStack, client: RetrievalClient
) -> None:
    victim = stack.state().server("shard-1")
    with Load(addresses_of(stack, "gateway")).running() as load:
        load.wait_for_answers(20)
        send(victim, signal.SIGKILL)
        assert wait_until_gone([victim], timeout_s=10) == []
        partial, _ = asked_until(client, lambda one: one.coverage.ratio == 0.5, within_s=10)
        answers = load.wait_for_answers(30)
        stack.restart("shard-1")
        whole, took_s = asked_until(client, lambda one: one.coverage.ratio == 1.0, within_s=30)
        load.wait_for_answers(10)
    assert load.errors == []
    assert [shard.target for shard in partial.coverage.missing] == ["shard-1"]
    assert partial.coverage.missing[0].reason in {"UNREACHABLE", "TIMED_OUT", "FAILED"}
    assert "PARTIAL_COVERAGE" in {item.step for item in partial.degradations}
    assert answers[-1].coverage.ratio == 0.5
    assert answers[-1].hits
    assert whole.coverage.missing == ()
    assert took_s <= 5.0


@pytest.fixture(scope="module")
def replicated_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Two processes of every kind."""
    folder = tmp_path_factory.mktemp("replicated")
    release = build_text_release(folder, shard_count=1)
    two = Replicas(gateway=2, encoder=2, shard=2, reranker=2)
    with running_stack(release, folder / "run", replicas=two) as running:
        yield running


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["encoder", "shard-0", "reranker", "gateway"])
def test_stopping_one_of_two_replicas_under_load_fails_no_request(
    replicated_stack: LocalStack, name: str
) -> None:
    victim = replicated_stack.state().server(name)
    with Load(addresses_of(replicated_stack, "gateway")).running() as load:
        load.wait_for_answers(20)
        send(victim, signal.SIGTERM)
        assert wait_until_gone([victim], timeout_s=30) == []
        load.wait_for_answers(30)
        replicated_stack.restart(name)
        load.wait_for_answers(20)
    assert load.errors == []
    assert {result.coverage.ratio for result in load.results} == {1.0}
    assert [item for result in load.results for item in result.degradations] == []
