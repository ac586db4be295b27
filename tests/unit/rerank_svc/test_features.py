"""Features against values worked out by hand, their documentation, and what must not matter."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_svc.candidates import RerankInput
from rerank_svc.features import CONTEXT_FEATURE_COUNT, FEATURE_NAMES, compute_features
from retrieval_core.projection import projection_matrix
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows
from tests.support.rerank_samples import make_input

DOCUMENT = Path(__file__).parents[3] / "docs" / "reranker.md"
PROJECTION = projection_matrix()
# With all 768 columns nothing is estimated, so formulas can be held to exact values.
EXACT = projection_matrix(columns=DIMENSIONS)


def columns(
    given_input: RerankInput, projection: Float32Matrix = PROJECTION
) -> dict[str, list[float]]:
    table = compute_features(given_input, projection)
    return {name: table[:, number].tolist() for number, name in enumerate(FEATURE_NAMES)}


def test_score_and_article_features_by_hand() -> None:
    given_input, _ = make_input(4, seed=1)
    scores = np.array([0.9, 0.7, 0.6, 0.6], np.float32)
    keys = np.array([7, 8, 7, 9], np.uint64)
    found = columns(dataclasses.replace(given_input, scores=scores, article_keys=keys))
    spread = math.sqrt((0.2**2 + 0 + 0.1**2 + 0.1**2) / 4)
    z = [0.2 / spread, 0.0, -0.1 / spread, -0.1 / spread]
    weights = np.exp(z) / np.exp(z).sum()
    expected = {
        "cosine": [0.9, 0.7, 0.6, 0.6],
        "margin_best": [0.0, 0.2, 0.3, 0.3],
        "score_z": z,
        "gap_above": [0.0, 0.2 / spread, 0.1 / spread, 0.1 / spread],
        "gap_below": [0.2 / spread, 0.1 / spread, 0.0, 0.0],
        "log_rank": [0.0, math.log(2), math.log(3), math.log(3)],
        "list_margin": [0.2] * 4,
        "list_spread": [spread] * 4,
        "article_count": [math.log(2), 0.0, math.log(2), 0.0],
        "article_share": [0.5, 0.25, 0.5, 0.25],
        "article_mean_lead": [0.05, 0.0, 0.05, -0.1],
        "article_best_margin": [0.0, 0.2, 0.0, 0.3],
        "article_is_best": [1.0, 1.0, 0.0, 1.0],
        "article_margin": [0.0, 0.0, 0.3, 0.0],
        "article_mass": [weights[0] + weights[2], weights[1], weights[0] + weights[2], weights[3]],
    }
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=2e-6), name


def test_neighbour_features_are_the_cosines_they_estimate() -> None:
    given_input, vectors = make_input(12, seed=2, projection=EXACT)
    found = columns(given_input, EXACT)
    cosines = (vectors @ vectors.T).astype(np.float64)
    scores = given_input.scores
    z = (scores - scores.mean()) / scores.std()
    top = np.argsort(-scores)[:3]
    for i in range(12):
        others = [j for j in range(12) if j != i]
        higher = [j for j in others if scores[j] > scores[i]]
        kin = [j for j in others if given_input.article_keys[j] == given_input.article_keys[i]]
        weights = np.exp(z[others])
        # Projections are kept in half precision: three digits.
        expected = {
            "article_similarity": cosines[i, kin].mean() if kin else 0.0,
            "higher_max": cosines[i, higher].max() if higher else 0.0,
            "higher_mean": cosines[i, higher].mean() if higher else 0.0,
            "top3_mean": cosines[i, [j for j in top if j != i]].mean(),
            "centroid": cosines[i, others].mean(),
            "feedback": (cosines[i, others] * weights).sum() / weights.sum(),
        }
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, abs=2e-3), name


def test_context_features_are_the_cosines_they_estimate() -> None:
    given_input, vectors = make_input(9, seed=3, context_count=4, projection=EXACT)
    found = columns(given_input, EXACT)
    context = given_input.context
    assert context is not None
    items = (vectors @ context.T).astype(np.float64)
    recent = normalize_rows((np.array([0.125, 0.25, 0.5, 1.0]) @ context)[None, :])
    mean = normalize_rows(context.mean(axis=0, keepdims=True))
    towards_recent = (vectors @ recent[0]).astype(np.float64)
    keys = given_input.article_keys
    expected = {
        "context_last": items[:, 3],
        "context_last_z": (items[:, 3] - items[:, 3].mean()) / items[:, 3].std(),
        "context_recent": towards_recent,
        "context_recent_z": (towards_recent - towards_recent.mean()) / towards_recent.std(),
        "context_mean": vectors @ mean[0],
        "context_max": items.max(axis=1),
        "context_step": items[:, 3] - items[:, 2],
        "context_article": [towards_recent[keys == key].max() for key in keys],
        "context_spread": np.full(9, 1 - np.linalg.norm(context.mean(axis=0)) ** 2),
        "context_length": np.full(9, 0.8),
    }
    for name, values in expected.items():
        tolerance = 0.05 if name.endswith("_z") else 2e-3
        assert found[name] == pytest.approx(list(values), abs=tolerance), name


def test_taking_out_what_is_known_makes_estimates_better() -> None:
    plain, refined = [], []
    for seed in range(20):
        given_input, vectors = make_input(40, seed, context_count=5)
        assert given_input.context is not None
        truth = vectors @ given_input.context[-1]
        raw = given_input.projections.astype(np.float32) @ (given_input.context[-1] @ PROJECTION)
        plain.append(np.abs(raw - truth).mean())
        refined.append(np.abs(columns(given_input)["context_last"] - truth).mean())
    # Here half of each vector's square is the query's direction; the error falls below 0.6 of it.
    assert np.mean(refined) < 0.6 * np.mean(plain)


@pytest.mark.parametrize("context_count", [0, 3])
def test_the_order_of_candidates_does_not_matter(context_count: int) -> None:
    given_input, _ = make_input(50, seed=4, context_count=context_count)
    order = np.random.default_rng(5).permutation(50)
    shuffled = dataclasses.replace(
        given_input,
        scores=given_input.scores[order],
        article_keys=given_input.article_keys[order],
        projections=given_input.projections[order],
    )
    np.testing.assert_allclose(
        compute_features(shuffled, PROJECTION),
        compute_features(given_input, PROJECTION)[order],
        atol=1e-4,
    )


def test_articles_are_only_told_apart() -> None:
    given_input, _ = make_input(30, seed=6)
    renamed = (given_input.article_keys + 17) * np.uint64(2**40 + 9)
    np.testing.assert_array_equal(
        compute_features(dataclasses.replace(given_input, article_keys=renamed), PROJECTION),
        compute_features(given_input, PROJECTION),
    )


def test_nothing_else_about_a_passage_can_reach_the_features() -> None:
    fields = {field.name for field in dataclasses.fields(RerankInput)}
    assert fields == {"kind", "scores", "article_keys", "projections", "query", "context"}
    assert set(inspect.signature(compute_features).parameters) == {"given", "projection"}


def test_questions_have_no_context_features() -> None:
    given_input, _ = make_input(10, seed=7)
    table = compute_features(given_input, PROJECTION)
    assert not table[:, -CONTEXT_FEATURE_COUNT:].any()
    assert all(name.startswith("context_") for name in FEATURE_NAMES[-CONTEXT_FEATURE_COUNT:])


def documented_rows() -> list[tuple[str, str, str, str]]:
    section = DOCUMENT.read_text("utf-8").split("## Features")[1].split("\n## ")[0]
    rows = [
        line.strip("|").replace(r"\|", "/").split("|")
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    return [(row[0].strip(" `"), row[1].strip(), row[2].strip(), row[3].strip()) for row in rows]


def test_every_feature_is_documented_in_order() -> None:
    rows = documented_rows()
    assert tuple(row[0] for row in rows) == FEATURE_NAMES
    assert all(all(row) for row in rows)
    assert f"The {_number_word(CONTEXT_FEATURE_COUNT)} `context_` features" in DOCUMENT.read_text()


def _number_word(number: int) -> str:
    return {8: "eight", 9: "nine", 10: "ten", 11: "eleven", 12: "twelve"}[number]


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 60),
    seed=st.integers(0, 10**6),
    context_count=st.integers(0, 5),
    articles=st.integers(1, 60),
)
def test_features_stay_in_their_documented_ranges(
    count: int, seed: int, context_count: int, articles: int
) -> None:
    given_input, _ = make_input(count, seed, context_count=context_count, articles=articles)
    table = compute_features(given_input, PROJECTION)
    assert table.dtype == np.float32
    assert table.flags.c_contiguous
    assert np.isfinite(table).all()
    for number, (name, _, bounds, _) in enumerate(documented_rows()):
        low, high = _bounds(bounds, count)
        # Estimates have an error; exact values only that of float32.
        slack = 0.6 if bounds.startswith("≈") else 1e-4 * max(1.0, high)
        assert table[:, number].min() >= low - slack, name
        assert table[:, number].max() <= high + slack, name


def _bounds(text: str, n: int) -> tuple[float, float]:
    match = re.fullmatch(r"≈?\[(.+), (.+)\]", text)
    assert match, text
    values = {
        "-sqrt(n-1)": -math.sqrt(n - 1),
        "sqrt(n-1)": math.sqrt(n - 1),
        "2 sqrt(n)": 2 * math.sqrt(n),
        "ln(n)": math.log(n),
    }
    low, high = (values[part] if part in values else float(part) for part in match.groups())
    return low, high


@pytest.mark.parametrize("context_count", [0, 1, 5])
def test_candidates_that_are_all_alike_give_finite_features(context_count: int) -> None:
    given_input, _ = make_input(20, seed=8, context_count=context_count)
    same = dataclasses.replace(
        given_input,
        scores=np.repeat(given_input.scores[:1], 20),
        projections=np.repeat(given_input.projections[:1], 20, axis=0),
        article_keys=np.zeros(20, np.uint64),
    )
    table = compute_features(same, PROJECTION)
    assert np.isfinite(table).all()
    np.testing.assert_allclose(table, np.repeat(table[:1], 20, axis=0), atol=1e-4)


def test_extreme_but_finite_input_gives_finite_features() -> None:
    given_input, _ = make_input(50, seed=9, context_count=5)
    loud = np.full_like(given_input.projections, 65504)
    table = compute_features(dataclasses.replace(given_input, projections=loud), PROJECTION)
    assert np.isfinite(table).all()
