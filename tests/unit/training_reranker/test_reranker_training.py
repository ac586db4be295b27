"""Training end to end on a made-up corpus: clean parts, right lists, and something learned."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from encoder_svc.query_models import RULES
from evaluation.querysets import QuerySetError
from rerank_svc.candidates import QueryKind
from rerank_svc.features import FEATURE_NAMES
from rerank_svc.model import RerankModel
from tests.support.drifting_corpus import LIMITS, DriftingEncoder, made_up_corpus
from training.encoder.corpus import Paragraph
from training.reranker.ablation import GROUPS, ablation_rows
from training.reranker.encode import cached_vectors
from training.reranker.fit import FitOptions, fit_ranker
from training.reranker.graph import Provenance, write_reranker
from training.reranker.lists import CANDIDATE_COUNT, CandidateLists
from training.reranker.material import (
    ContextModels,
    Material,
    check_disjoint,
    encode_material,
)
from training.reranker.models import context_models, known_models
from training.reranker.outcome import compare, judge, search_order_scores
from training.split import Part

COSINE = FEATURE_NAMES.index("cosine")
MODELS = ContextModels(RULES["mean"], RULES["mean"])


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    cache = tmp_path_factory.mktemp("cache")
    corpus, encoder = made_up_corpus(), DriftingEncoder()
    return encode_material(corpus, encoder, cache, MODELS, LIMITS)


@pytest.fixture(scope="module")
def contexts(material: Material) -> dict[str, CandidateLists]:
    parts: tuple[Part, ...] = ("train", "validation", "evaluation")
    return {part: material.lists(QueryKind.CONTEXT, part) for part in parts}


def test_windows_are_consecutive_and_end_before_the_right_one(material: Material) -> None:
    lengths = set()
    for part, windows in material.windows.items():
        for window in windows:
            gold = material.paragraphs[window.gold]
            before = [material.paragraphs[row] for row in window.context]
            assert gold.part == part
            assert {paragraph.article for paragraph in before} == {gold.article}
            first = gold.position - len(before)
            assert [paragraph.position for paragraph in before] == [*range(first, gold.position)]
            lengths.add(len(before))
    assert lengths == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("kind", list(QueryKind))
def test_training_searches_among_training_articles_only(
    material: Material, kind: QueryKind
) -> None:
    searched = {
        part: {material.paragraphs[row].part for row in material.searchable(part).rows}
        for part in LIMITS
    }
    assert searched["train"] == {"train"}
    assert searched["evaluation"] == {"train", "validation", "evaluation"}
    assert {material.paragraphs[query.gold].part for query in material.queries(kind, "train")} == {
        "train"
    }


def test_lists_hold_the_search_result_in_order(contexts: dict[str, CandidateLists]) -> None:
    lists = contexts["train"]
    cosines = np.where(lists.mask, lists.features[..., FEATURE_NAMES.index("cosine")], -2.0)
    assert (np.diff(cosines, axis=1) <= 0).all()
    counts = set(lists.mask.sum(axis=1).tolist())
    assert counts == {10, 20, 30, 40, CANDIDATE_COUNT}
    assert set(contexts["evaluation"].mask.sum(axis=1).tolist()) == {CANDIDATE_COUNT}


def test_the_context_is_not_among_the_candidates(material: Material) -> None:
    queries = material.queries(QueryKind.CONTEXT, "evaluation")
    lists = material.lists(QueryKind.CONTEXT, "evaluation")
    similar = lists.features[..., FEATURE_NAMES.index("context_max")]
    assert len(queries) == len(lists)
    # A candidate of the context itself would be of cosine 1, give or take the estimate.
    assert similar.max() < 0.9


def test_what_is_learned_carries_over_to_other_articles(
    contexts: dict[str, CandidateLists],
) -> None:
    options = FitOptions(units=16, epochs=15, learning_rate=2e-3, lists_per_step=32)
    lines: list[str] = []
    ranker = fit_ranker(contexts["train"], contexts["validation"], options, lines.append)
    outcome = compare(contexts["evaluation"], ranker.scores)
    # What follows is near to the last vector, which the mean hides.
    assert outcome.measures["R@1"].difference.low > 0.1
    assert outcome.measures["Contain@50"].difference.mean == 0.0
    assert 0.0 < outcome.changed_first < 1.0
    assert lines[0].startswith("start: validation loss")


def test_training_is_the_same_every_time(contexts: dict[str, CandidateLists]) -> None:
    options = FitOptions(units=16, epochs=2)
    first, second = (
        fit_ranker(contexts["train"], contexts["validation"], options, lambda _: None)
        for _ in range(2)
    )
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_was_fitted_is_what_is_served(
    contexts: dict[str, CandidateLists], tmp_path: Path
) -> None:
    ranker = fit_ranker(
        contexts["train"], contexts["validation"], FitOptions(units=16, epochs=1), lambda _: None
    )
    write_reranker(dict.fromkeys(QueryKind, ranker), Provenance("f", "e", "c", {"n": 1}), tmp_path)
    model = RerankModel.load(tmp_path)
    features = contexts["evaluation"].features[0]
    np.testing.assert_allclose(
        model.score_features(features, QueryKind.CONTEXT),
        ranker.scores(features),
        rtol=1e-4,
        atol=1e-4,
    )
    assert model.manifest.encoder_fingerprint == "f"


def test_the_search_order_leaves_every_rank_alone(contexts: dict[str, CandidateLists]) -> None:
    lists = contexts["evaluation"]
    relevant = judge(lists, search_order_scores(lists)).relevant
    found = np.flatnonzero(lists.golds >= 0)
    np.testing.assert_array_equal(relevant[found].argmax(axis=1), lists.golds[found])
    assert relevant[lists.golds < 0].sum() == 0


def test_groups_hold_every_feature_once() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(FEATURE_NAMES)


def test_ablation_has_a_row_for_each_feature_that_speaks(
    contexts: dict[str, CandidateLists], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.reranker.ablation.OPTIONS", FitOptions(units=16, epochs=1))
    monkeypatch.setattr("training.reranker.ablation.LIST_COUNT", 40)
    rows = list(
        ablation_rows(
            QueryKind.CONTEXT,
            contexts["train"],
            contexts["validation"],
            contexts["evaluation"],
            lambda _: None,
        )
    )
    assert [row.label for row in rows] == [*GROUPS, *(f"`{name}`" for name in FEATURE_NAMES)]
    assert all(-1.0 <= row.recall_at_5.mean <= 1.0 for row in rows)


def test_training_sees_what_the_served_model_finds_and_what_the_rule_does(
    material: Material,
) -> None:
    """The served one was fitted to the articles of training, and says too much about them."""
    models = ContextModels(RULES["last"], RULES["recency"])
    asked = dataclasses.replace(material, models=models)
    both = asked.training_lists(QueryKind.CONTEXT)
    parts = [
        material.lists(QueryKind.CONTEXT, "train", RULES[name]) for name in ("last", "recency")
    ]
    np.testing.assert_array_equal(both.features, np.concatenate([one.features for one in parts]))
    np.testing.assert_array_equal(both.golds, np.concatenate([one.golds for one in parts]))
    assert both.articles == parts[0].articles + parts[1].articles
    assert len(material.training_lists(QueryKind.CONTEXT)) == len(parts[0])
    for query in asked.queries(QueryKind.CONTEXT, "evaluation"):
        assert query.context is not None
        np.testing.assert_array_equal(query.vector, query.context[-1:])
    assert ContextModels(RULES["last"]).names == "last, recency"


def test_query_models_are_compared_on_the_same_windows(material: Material) -> None:
    measured = {
        name: compare(
            material.lists(QueryKind.CONTEXT, "evaluation", rule), lambda f: f[..., COSINE]
        )
        for name, rule in RULES.items()
    }
    found = {name: outcome.measures["MRR@10"] for name, outcome in measured.items()}
    # On a walk the last vector is the best guess.
    assert found["last"].before > found["mean"].before + 0.05
    assert found["last"].difference.mean == pytest.approx(0.0)


def test_what_is_served_is_the_first_that_there_is(tmp_path: Path) -> None:
    models = context_models(tmp_path, "sha256:" + "ab" * 32)
    assert (models.names, models.served.name) == ("recency", "recency")
    assert [model.name for model in known_models(tmp_path, "sha256:0")] == [*RULES]


def test_vectors_are_computed_once_for_each_encoder(tmp_path: Path) -> None:
    encoder = DriftingEncoder()
    texts = ["passage 1 1", "passage 2 2"]
    first = cached_vectors(encoder, texts, "some", tmp_path)
    np.testing.assert_array_equal(cached_vectors(encoder, texts, "some", tmp_path), first)
    assert encoder.calls == ["some"]
    cached_vectors(encoder, texts[:1], "some", tmp_path)
    encoder.fingerprint = "sha256:" + "cd" * 32
    cached_vectors(encoder, texts, "some", tmp_path)
    assert encoder.calls == ["some"] * 3


def test_a_text_in_both_parts_is_refused() -> None:
    corpus = made_up_corpus()
    check_disjoint(corpus)
    evaluated = next(paragraph for paragraph in corpus if paragraph.part == "evaluation")
    trained = next(paragraph for paragraph in corpus if paragraph.part == "train")
    copied = Paragraph(trained.article, 99, evaluated.text.upper(), ())
    with pytest.raises(QuerySetError, match="1 passages"):
        check_disjoint([*corpus, copied])
