"""The reranker as a process: what it refuses to start with, what it says, and how it leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from retrieval.v1.rerank_pb2_grpc import RerankServiceStub

from rerank_svc.servicer import SERVICE_NAME
from tests.support.rerank_samples import make_input, make_request, write_sample_reranker
from tests.support.server_process import ROOT, server_process

TIMEOUT_S = 10.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("reranker")
    write_sample_reranker(made)
    return made


def settings(folder: Path, **changes: str) -> Mapping[str, str]:
    return {
        "RERANK_PORT": "0",
        "RERANK_MODEL": str(folder),
        "RERANK_LAME_DUCK_MS": "0",
        **changes,
    }


def test_it_serves_and_leaves_when_told(folder: Path) -> None:
    with server_process("rerank_svc", settings(folder)) as server:
        with grpc.insecure_channel(server.wait_serving()) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=SERVICE_NAME), timeout=TIMEOUT_S
            )
            assert health.status == health_pb2.HealthCheckResponse.SERVING
            given_input, _ = make_input(50, seed=1)
            response = RerankServiceStub(channel).Rerank(
                make_request(given_input), timeout=TIMEOUT_S
            )
            assert len(response.scores) == 50
        server.terminate()
        assert server.wait_exit() == 0


def test_a_damaged_model_is_named_and_nothing_is_served(tmp_path: Path) -> None:
    write_sample_reranker(tmp_path)
    with (tmp_path / "reranker_mlp_v0.onnx").open("ab") as stream:
        stream.write(b"\0")
    with server_process("rerank_svc", settings(tmp_path)) as server:
        assert server.wait_exit() == 1
        assert "reranker_mlp_v0.onnx" in server.log


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RERANK_RELEASE": "current"}, "not both"),
        ({"RERANK_MAX_CANDIDATES": "0", "RERANK_PORT": "x"}, "RERANK_PORT"),
        ({"RERANK_MODLE": "here"}, "did you mean RERANK_MODEL"),
    ],
)
def test_settings_that_cannot_be_used_are_told(
    folder: Path, changes: dict[str, str], words: str
) -> None:
    with server_process("rerank_svc", settings(folder, **changes)) as server:
        assert server.wait_exit() == 2
        assert words in server.log


def test_help_lists_every_setting_of_its_own() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "rerank_svc", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for name in ("RERANK_MODEL", "RERANK_RELEASE", "RERANK_MAX_CANDIDATES", "RERANK_PORT"):
        assert name in shown.stdout
