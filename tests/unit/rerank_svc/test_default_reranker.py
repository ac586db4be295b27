"""The embedded reranker fits the embedded encoder, and its card tells of these very weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rerank_svc.model import RerankModel
from rerank_svc.program import DEFAULT_MODEL_FOLDER
from tests.support.rerank_samples import make_input

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model() -> RerankModel:
    return RerankModel.load(DEFAULT_MODEL_FOLDER)


def test_it_was_trained_on_vectors_of_the_embedded_encoder(model: RerankModel) -> None:
    encoder = json.loads((ROOT / "encoder_svc" / "default_model" / "manifest.json").read_text())
    assert model.manifest.encoder_fingerprint == encoder["fingerprint"]


def test_its_card_has_figures_of_the_same_encoder(model: RerankModel) -> None:
    card = (ROOT / "docs" / "ModelCards" / "reranker_mlp_v0.md").read_text("utf-8")
    figures = card.split("<!-- figures:begin -->")[1].split("<!-- figures:end -->")[0]
    assert model.manifest.encoder_fingerprint in figures


@pytest.mark.parametrize("context_count", [0, 5])
def test_it_prefers_what_is_nearer_where_all_else_is_equal(
    model: RerankModel, context_count: int
) -> None:
    better_is_first = []
    for seed in range(20):
        given_input, _ = make_input(50, seed, context_count=context_count, articles=10**6)
        scores = model.score(given_input).scores
        near, far = np.argsort(-given_input.scores)[[0, -1]]
        better_is_first.append(bool(scores[near] > scores[far]))
    assert all(better_is_first)
