"""What the cards say is what the figures say."""

from __future__ import annotations

from pathlib import Path

from evaluation.intervals import Interval
from training.query_models.card import (
    CARDS,
    Comparison,
    SystemRow,
    TriedRow,
    comparison_table,
    systems_table,
    tried_table,
    verdict_lines,
)
from training.query_models.measures import REPORTED

ROOT = Path(__file__).parents[3]
FIGURES = {"R@1": 0.1, "R@5": 0.31, "MRR@10": 0.15, "Contain@50": 0.8}


def compared(low: float, high: float) -> Comparison:
    interval = Interval((low + high) / 2, low, high)
    return Comparison("last vector", dict.fromkeys(REPORTED, interval))


def test_tables_show_every_figure() -> None:
    assert "| last | 0.100 | 0.310 | 0.150 | 0.800 |" in systems_table([SystemRow("last", FIGURES)])
    table = comparison_table([compared(0.01, 0.03)])
    assert "| last vector | +2.0 pp (+1.0 to +3.0) |" in table
    tried = tried_table([TriedRow("mean", FIGURES, 0, 1.0), TriedRow("no decay", FIGURES, 3, 0.85)])
    assert "| mean | 0.100 | 0.310 | 0.150 | 0.800 |  |  |" in tried
    assert "| no decay | 0.100 | 0.310 | 0.150 | 0.800 | 3 | 0.85 |" in tried


def test_verdicts_follow_the_intervals_and_the_gates() -> None:
    lines = "\n".join(verdict_lines(compared(0.021, 0.04), FIGURES))
    assert "R@5 **PASS**, Contain@50 **PASS**" in lines
    assert "whole interval above zero: **yes**; by 2% or more: **PASS**" in lines
    assert "before reranking: **yes** (0.310)" in lines
    assert "**no** (0.800)" in lines
    lines = "\n".join(verdict_lines(compared(-0.03, -0.01), FIGURES))
    assert "R@5 **FAIL**, Contain@50 **FAIL**" in lines
    assert "whole interval above zero: **no**; by 2% or more: **FAIL**" in lines
    assert "by 2% or more: **INCONCLUSIVE**" in "\n".join(verdict_lines(compared(0, 0.03), FIGURES))


def test_every_model_has_a_card_with_the_sections_that_are_written() -> None:
    for path in CARDS.values():
        text = (ROOT / path).read_text("utf-8")
        for section in ("figures", "tried"):
            assert f"<!-- {section}:begin -->" in text
            assert f"<!-- {section}:end -->" in text
