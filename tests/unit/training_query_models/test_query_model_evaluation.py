"""The evaluation asks the served graph, among all parts, and says by how much a rule is beaten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from encoder_svc.query_model_files import load_query_model
from retrieval_core.vectors import normalize_rows
from tests.support.query_model_files import write_query_model
from training.query_models.evaluate import Judged, figures_of, judge
from training.query_models.material import Material, Passages
from training.query_models.rules import RULES
from training.query_models.windows import windows_of

SPACE = "sha256:here"
ARTICLE_COUNT = 12
PASSAGES_EACH = 8


def material() -> Material:
    """Each passage is the direction of the two before it, the older one counting twice."""
    generator = np.random.default_rng(0)
    rows: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    for _ in range(ARTICLE_COUNT):
        article = [generator.normal(size=768), generator.normal(size=768)]
        while len(article) < PASSAGES_EACH:
            noise = 0.5 * generator.normal(size=768)
            article.append(2 * article[-2] + article[-1] + noise)
            article[-1] /= np.linalg.norm(article[-1]) / np.sqrt(768)
        rows.extend(article)
    count = ARTICLE_COUNT * PASSAGES_EACH
    articles = [row // PASSAGES_EACH for row in range(count)]
    windows = windows_of(articles, [row % PASSAGES_EACH for row in range(count)])
    passages = Passages(normalize_rows(np.stack(rows)), np.array(articles), windows)
    parts = ["train" if article < 4 else "evaluation" for article in articles]
    return Material(passages, parts, [str(each) for each in range(ARTICLE_COUNT)])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("models")
    write_query_model(folder, "amn_v0", SPACE, (0, 0, 0, 2, 1))
    return judge(material(), {"amn_v0": load_query_model(folder, "amn_v0", SPACE)})


def test_only_windows_of_evaluation_articles_are_asked(judged: Judged) -> None:
    assert len(judged.windows) == 8 * (PASSAGES_EACH - 1)
    assert set(judged.windows.articles.tolist()) == set(range(4, ARTICLE_COUNT))
    assert set(judged.rules) == set(RULES)


def test_a_model_that_knows_better_beats_the_best_rule(judged: Judged) -> None:
    best = judged.comparisons("amn_v0")[0]
    assert best.rule == judged.best_rule
    assert best.differences["R@1"].mean > 0.05
    text = figures_of(judged, "amn_v0")
    assert "| **amn_v0** |" in text
    assert f"| {best.rule} |" in text
    assert "56 windows of 8 articles" in text


def test_a_card_names_the_rules_that_are_compared(judged: Judged, tmp_path: Path) -> None:
    rules = [comparison.rule for comparison in judged.comparisons("amn_v0")]
    assert len(rules) == len(set(rules)) >= 2
    assert "recency-weighted mean, factor 0.5" in rules
    assert "last vector" in rules
