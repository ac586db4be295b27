"""The loaded model computes what was trained, and nothing is loaded that is not what it says."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rerank_svc.candidates import QueryKind
from rerank_svc.features import FEATURE_NAMES
from rerank_svc.model import RerankModel
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact, FailedPrecondition, InternalError
from tests.support.rerank_samples import FINGERPRINT, make_input, write_sample_reranker

GRAPH = "reranker_mlp_v0.onnx"
MANIFEST = "reranker_mlp_v0.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sample_reranker(tmp_path)
    return tmp_path


def change_manifest(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace_graph(folder: Path, graph: bytes) -> None:
    """Another graph, with a manifest that agrees with it."""
    path = folder / GRAPH
    path.write_bytes(graph)
    record = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    change_manifest(folder, files={GRAPH: record})


@pytest.mark.parametrize("context_count", [0, 5])
def test_the_graph_computes_what_was_trained(tmp_path: Path, context_count: int) -> None:
    rankers = write_sample_reranker(tmp_path)
    model = RerankModel.load(tmp_path)
    given_input, _ = make_input(50, seed=1, context_count=context_count)
    scored = model.score(given_input)
    expected = rankers[given_input.kind].scores(scored.features)
    np.testing.assert_allclose(scored.scores, expected, rtol=1e-5, atol=1e-5)
    assert scored.features.shape == (50, len(FEATURE_NAMES))


def test_kinds_have_weights_of_their_own(folder: Path) -> None:
    model = RerankModel.load(folder)
    context, _ = make_input(30, seed=2, context_count=2)
    question = dataclasses.replace(context, kind=QueryKind.QUESTION)
    assert not np.allclose(model.score(context).scores, model.score(question).scores, atol=1e-2)


@pytest.mark.parametrize("count", [1, 2, 200])
def test_any_number_of_candidates_is_scored(folder: Path, count: int) -> None:
    given_input, _ = make_input(count, seed=3)
    assert RerankModel.load(folder).score(given_input).scores.shape == (count,)


def test_concurrent_calls_do_not_disturb_each_other(folder: Path) -> None:
    model = RerankModel.load(folder)
    inputs = [make_input(50, seed, context_count=seed % 6)[0] for seed in range(24)]
    alone = [model.score(given_input).scores for given_input in inputs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda given_input: model.score(given_input).scores, inputs * 4))
    for number, scores in enumerate(together):
        np.testing.assert_array_equal(scores, alone[number % len(inputs)])


def test_not_a_number_never_leaves(folder: Path) -> None:
    given_input, _ = make_input(10, seed=4)
    broken = dataclasses.replace(given_input, scores=np.full(10, np.nan, np.float32))
    with pytest.raises(InternalError, match="not finite"):
        RerankModel.load(folder).score(broken)


def test_vectors_of_another_encoder_are_refused_by_both_names(folder: Path) -> None:
    model = RerankModel.load(folder)
    model.check_fingerprint(FINGERPRINT)
    model.check_fingerprint("")
    with pytest.raises(FailedPrecondition) as refusal:
        model.check_fingerprint("sha256:other")
    assert "sha256:other" in refusal.value.message
    assert FINGERPRINT in refusal.value.message
    assert refusal.value.reason == "FINGERPRINT_MISMATCH"


def test_warming_runs_both_kinds(folder: Path) -> None:
    RerankModel.load(folder).warm()


def test_an_altered_graph_is_not_loaded(folder: Path) -> None:
    graph = bytearray((folder / GRAPH).read_bytes())
    graph[len(graph) // 2] ^= 1
    (folder / GRAPH).write_bytes(graph)
    with pytest.raises(DamagedArtifact, match=GRAPH):
        RerankModel.load(folder)


@pytest.mark.parametrize("name", [GRAPH, MANIFEST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DamagedArtifact, match=name):
        RerankModel.load(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "retrieval-reranker/2"),
        ("feature_names", [*FEATURE_NAMES[1:], FEATURE_NAMES[0]]),
        ("projection", {"seed": 1, "digest": "sha256:0"}),
        ("projection_dimensions", 0),
        ("encoder_fingerprint", None),
        ("files", {}),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(folder: Path, field: str, value: object) -> None:
    change_manifest(folder, **{field: value})
    with pytest.raises(DamagedArtifact, match=field):
        RerankModel.load(folder)


def test_a_file_that_is_no_graph_is_refused_whatever_its_checksum(folder: Path) -> None:
    replace_graph(folder, b"not a graph")
    with pytest.raises(DamagedArtifact, match="not a graph"):
        RerankModel.load(folder)


def identity_graph(name: str, columns: int) -> bytes:
    info = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", columns])
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", columns])
    node = helper.make_node("Identity", [name], ["scores"])
    model = helper.make_model(
        helper.make_graph([node], "other", [info], [output]),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_a_graph_of_another_kind_is_refused(folder: Path) -> None:
    replace_graph(folder, identity_graph("pixels", 32))
    with pytest.raises(DamagedArtifact, match="not a reranker"):
        RerankModel.load(folder)
