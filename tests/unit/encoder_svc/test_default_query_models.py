"""The embedded query models: whole, small, made for the embedded encoder, and described."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from encoder_svc.encoder import DEFAULT_MODEL_FOLDER
from encoder_svc.manifest import read_encoder_manifest
from encoder_svc.onnx_query_model import OnnxQueryModel
from encoder_svc.query_model_files import load_query_model
from encoder_svc.query_model_loading import DEFAULT_QUERY_MODELS_FOLDER as FOLDER
from encoder_svc.query_models import RULES
from releases.layout import QUERY_MODEL_NAMES
from retrieval_core.vectors import normalize_rows

CARDS = Path(__file__).parents[3] / "docs" / "ModelCards"
LARGEST_BYTES = 25_000_000


@pytest.fixture(scope="module", params=QUERY_MODEL_NAMES)
def model(request: pytest.FixtureRequest) -> OnnxQueryModel:
    fingerprint = read_encoder_manifest(DEFAULT_MODEL_FOLDER).fingerprint
    return load_query_model(FOLDER, request.param, fingerprint)


def test_they_fit_in_the_repository() -> None:
    assert max(path.stat().st_size for path in FOLDER.iterdir()) <= LARGEST_BYTES


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_a_context_of_any_length_gives_a_unit_vector_near_its_topic(
    model: OnnxQueryModel, length: int
) -> None:
    generator = np.random.default_rng(length)
    topic = generator.normal(size=(1, 768))
    context = normalize_rows(topic + 0.5 * generator.normal(size=(length, 768)))
    vector = model.predict(context)
    assert vector.shape == (1, 768)
    assert abs(float(np.linalg.norm(vector.astype(np.float64))) - 1) < 1e-5
    # What it was not trained on it should not lose: random vectors have a cosine of about 0.
    assert float((vector @ RULES["recency"].predict(context).T)[0, 0]) > 0.3


def test_the_order_of_the_context_matters(model: OnnxQueryModel) -> None:
    context = normalize_rows(np.random.default_rng(0).normal(size=(5, 768)))
    turned = np.ascontiguousarray(context[::-1])
    assert float((model.predict(context) @ model.predict(turned).T)[0, 0]) < 0.99


def test_a_batch_gives_what_each_gives_alone(model: OnnxQueryModel) -> None:
    contexts = normalize_rows(np.random.default_rng(1).normal(size=(15, 768))).reshape(3, 5, 768)
    together = model.predict_padded(contexts, np.ones((3, 5), np.float32))
    alone = np.concatenate([model.predict(context) for context in contexts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("name", QUERY_MODEL_NAMES)
def test_a_manifest_says_how_it_was_made_and_its_card_is_the_documented_one(name: str) -> None:
    manifest = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    assert manifest["largest_deviation_from_torch"] <= 1e-5
    assert 0 < manifest["validation"]["R@5"] < 1
    card = (FOLDER / f"{name}.md").read_text("utf-8")
    assert card == (CARDS / f"{name}.md").read_text("utf-8")
    assert manifest["encoder_fingerprint"] in card
