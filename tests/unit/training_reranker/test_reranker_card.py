"""Figures go between their markers, and verdicts say what the intervals say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from evaluation.intervals import Interval, Verdict
from rerank_svc.candidates import QueryKind
from training.reranker.card import (
    AblationRow,
    ablation_table,
    context_verdict,
    outcome_table,
    query_models_table,
    question_verdict,
    replace_section,
)
from training.reranker.outcome import MeasureOutcome, Outcome


def outcome(mean: float, low: float, high: float) -> Outcome:
    measure = MeasureOutcome(0.25, 0.25 + mean, Interval(mean, low, high))
    return Outcome(100, 7, 0.345, {"R@5": measure})


def test_only_what_is_between_the_markers_changes(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("before\n<!-- figures:begin -->\nold\n<!-- figures:end -->\nafter\n")
    replace_section(card, "figures", "new\n")
    replace_section(card, "figures", "newer\n")
    expected = "before\n<!-- figures:begin -->\nnewer\n<!-- figures:end -->\nafter\n"
    assert card.read_text() == expected
    with pytest.raises(ValueError, match="ablation"):
        replace_section(card, "ablation", "x")


@pytest.mark.parametrize(
    ("low", "high", "context", "question"),
    [
        (0.03, 0.06, Verdict.PASS, Verdict.PASS),
        (0.01, 0.05, Verdict.INCONCLUSIVE, Verdict.PASS),
        (-0.02, 0.01, Verdict.FAIL, Verdict.PASS),
        (-0.04, -0.01, Verdict.FAIL, Verdict.FAIL),
    ],
)
def test_verdicts_follow_the_intervals(
    low: float, high: float, context: Verdict, question: Verdict
) -> None:
    found = outcome((low + high) / 2, low, high)
    assert context_verdict(found) is context
    assert question_verdict(found) is question


def test_tables_show_every_figure() -> None:
    outcomes = {
        QueryKind.QUESTION: outcome(-0.001, -0.01, 0.008),
        QueryKind.CONTEXT: dataclasses.replace(outcome(0.05, 0.04, 0.06), changed_first=0.2),
    }
    table = outcome_table(outcomes)
    assert "| question → passage | R@5 | 0.250 | 0.249 | -0.001 (-0.010 to +0.008) |" in table
    assert "| next passage | R@5 | 0.250 | 0.300 | +0.050 (+0.040 to +0.060) |" in table
    assert "100 queries of 7 articles; the first hit changes for 34.5% of them" in table
    assert "at least +0.03: **PASS**" in table
    row = AblationRow("`cosine`", QueryKind.CONTEXT, Interval(-0.01, -0.02, 0.0), Interval(0, 0, 0))
    assert "| `cosine` | next passage | -1.00 (-2.00 to +0.00) |" in ablation_table([row])


def test_query_models_stand_beside_each_other() -> None:
    names = ("R@5", "MRR@10", "Contain@50")
    measures = {name: MeasureOutcome(0.3, 0.4, Interval(0.1, 0.08, 0.12)) for name in names}
    table = query_models_table({"recency": Outcome(100, 7, 0.3, measures)})
    row = "| `recency` | 0.300 | 0.400 | +0.100 (+0.080 to +0.120) | 0.300 | 0.400 | 0.300 |"
    assert row in table
