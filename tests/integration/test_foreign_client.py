"""A client in another language, which learns the contract by reflection, gets the same answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import LocalStack
from retrieval_client import RetrievalClient
from tests.support.local_stacks import addresses_of, build_text_release, running_stack

pytestmark = pytest.mark.slow

FOREIGN = Path(__file__).resolve().parents[1] / "foreign"


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found and (FOREIGN / "node_modules").is_dir():
        return found
    if "CI" in os.environ:
        pytest.fail("node or tests/foreign/node_modules is missing; `make npm` installs the latter")
    pytest.skip("node or tests/foreign/node_modules is missing (run `make npm`)")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    folder = tmp_path_factory.mktemp("foreign")
    with running_stack(build_text_release(folder, shard_count=2), folder / "run") as running:
        yield running


def call(node: str, address: str, method: str, request: dict[str, Any]) -> Any:
    command = [node, "client.mjs", address, "retrieval.v1.RetrievalService", method]
    finished = subprocess.run(
        [*command, json.dumps(request)],
        cwd=FOREIGN,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_a_foreign_client_gets_the_answer_that_ours_gets(node: str, stack: LocalStack) -> None:
    [address] = addresses_of(stack, "gateway")
    text = "Oil the chain when it squeaks."
    foreign = call(node, address, "Search", {"text": text, "limit": 5})
    with RetrievalClient([address], timeout_ms=10_000) as client:
        ours = client.search(text, limit=5)
    assert [int(hit["passage"]["passage_id"]) for hit in foreign["hits"]] == [
        hit.passage_id for hit in ours.hits
    ]
    assert [hit["passage"]["text"] for hit in foreign["hits"]] == [hit.text for hit in ours.hits]
    assert [hit["score"] for hit in foreign["hits"]] == pytest.approx(
        [hit.score for hit in ours.hits], rel=1e-6
    )
    assert foreign["coverage"] == {
        "shards_asked": 2,
        "shards_answered": 2,
        "ratio": 1,
        "missing": [],
    }
    assert foreign["release_id"] == ours.release_id


def test_a_foreign_client_is_told_which_field_is_wrong(node: str, stack: LocalStack) -> None:
    [address] = addresses_of(stack, "gateway")
    command = [node, "client.mjs", address, "retrieval.v1.RetrievalService", "Search"]
    finished = subprocess.run(
        [*command, json.dumps({"text": "   "})],
        cwd=FOREIGN,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr.startswith("3 "), "INVALID_ARGUMENT"
    assert "text" in finished.stderr
