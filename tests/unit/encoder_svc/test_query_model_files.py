"""Learned query models on disk: what is loaded, and what is refused and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from encoder_svc.onnx_query_model import pad_context
from encoder_svc.query_model_files import load_query_model
from encoder_svc.query_model_loading import load_query_models
from encoder_svc.query_model_runs import RunLimits
from retrieval_core.errors import (
    DamagedArtifact,
    FailedPrecondition,
    InternalError,
    InvalidInput,
    NotFound,
)
from retrieval_core.vectors import Float32Matrix, normalize_rows
from tests.support.query_model_files import write_query_model

SPACE = "sha256:here"
LIMITS = RunLimits(limit_ns=10**9)


def context(length: int) -> Float32Matrix:
    return normalize_rows(np.random.default_rng(length).normal(size=(length, 768)))


def change(manifest: Path, **values: object) -> None:
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **values}))


def test_a_model_sees_the_items_in_order_with_padding_before_them(tmp_path: Path) -> None:
    write_query_model(tmp_path, "amn_v0", SPACE)
    model = load_query_model(tmp_path, "amn_v0", SPACE)
    items = context(2)
    np.testing.assert_allclose(
        model.predict(items), normalize_rows(2 * items[:1] + items[1:]), atol=1e-6
    )
    padded, mask = pad_context(items)
    assert mask.tolist() == [[0, 0, 0, 1, 1]]
    assert not padded[0, :3].any()


@pytest.mark.parametrize("name", ["amn_v9", "mean", ""])
def test_a_name_that_no_learned_model_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="amn_v0"):
        load_query_model(tmp_path, name, SPACE)


def test_an_empty_folder_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gru_v0\.json"):
        load_query_model(tmp_path, "gru_v0", SPACE)


def test_a_model_of_another_encoder_is_refused(tmp_path: Path) -> None:
    write_query_model(tmp_path, "amn_v0", "sha256:other")
    with pytest.raises(FailedPrecondition, match="sha256:other") as caught:
        load_query_model(tmp_path, "amn_v0", SPACE)
    assert caught.value.reason == "FINGERPRINT_MISMATCH"


def test_an_altered_graph_is_never_loaded(tmp_path: Path) -> None:
    write_query_model(tmp_path, "amn_v0", SPACE)
    graph = tmp_path / "amn_v0.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(DamagedArtifact, match=r"amn_v0\.onnx"):
        load_query_model(tmp_path, "amn_v0", SPACE)
    graph.unlink()
    with pytest.raises(DamagedArtifact, match="missing"):
        load_query_model(tmp_path, "amn_v0", SPACE)


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", "x"), ("name", "gru_v0"), ("files", {}), ("parameter_count", "many")],
)
def test_a_manifest_that_is_wrong_names_its_key(tmp_path: Path, key: str, value: object) -> None:
    change(write_query_model(tmp_path, "amn_v0", SPACE), **{key: value})
    with pytest.raises(DamagedArtifact, match=key):
        load_query_model(tmp_path, "amn_v0", SPACE)


def test_another_models_graph_is_no_query_model(tmp_path: Path) -> None:
    manifest = write_query_model(tmp_path, "amn_v0", SPACE, (1.0, 2.0, 4.0))
    with pytest.raises(DamagedArtifact, match="graph"):
        load_query_model(tmp_path, "amn_v0", SPACE)
    assert manifest.is_file()


def test_a_vector_that_is_not_of_unit_norm_never_leaves(tmp_path: Path) -> None:
    write_query_model(tmp_path, "amn_v0", SPACE, (2.0,) * 5, unit=False)
    with pytest.raises(InternalError, match="unit norm"):
        load_query_model(tmp_path, "amn_v0", SPACE).predict(context(5))


def test_what_must_not_be_served_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_query_model(tmp_path, "amn_v0", "sha256:other")
    write_query_model(tmp_path, "gru_v0", SPACE)
    models = load_query_models(tmp_path, SPACE, LIMITS)
    try:
        assert "amn_v0" not in models.names
        assert "gru_v0" in models.names
        assert "sha256:other" in models.refused["amn_v0"]
        assert "amn_v0 is not served" in caplog.text
    finally:
        models.close()


def test_a_model_that_gives_no_unit_vectors_is_not_served(tmp_path: Path) -> None:
    write_query_model(tmp_path, "amn_v0", SPACE, unit=False)
    models = load_query_models(tmp_path, SPACE, LIMITS)
    assert "amn_v0" not in models.names
    assert "unit norm" in models.refused["amn_v0"]
