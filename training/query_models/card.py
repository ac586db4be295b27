"""The figures of the model cards: written between markers, never by hand."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from evaluation.intervals import Interval, Verdict
from training.query_models.measures import REPORTED
from training.reranker.card import replace_section

CARDS: Mapping[str, Path] = MappingProxyType(
    {name: Path(f"docs/ModelCards/{name}.md") for name in ("amn_v0", "gru_v0")}
)
WANTED_GAIN = 0.02


@dataclass(frozen=True, slots=True)
class TriedRow:
    """One rule or variant on the validation articles; epoch 0 for what is not trained."""

    label: str
    figures: Mapping[str, float]
    epoch: int
    strength: float


@dataclass(frozen=True, slots=True)
class SystemRow:
    """One rule or model on the evaluation articles."""

    label: str
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model against one rule: paired differences of every measure."""

    rule: str
    differences: Mapping[str, Interval]


def write_section(model: str, section: str, text: str, folder: Path) -> None:
    """Replace a section of the model's card, and put the card beside the model in `folder`."""
    replace_section(CARDS[model], section, text)
    shutil.copyfile(CARDS[model], folder / CARDS[model].name)


def systems_table(rows: Sequence[SystemRow]) -> str:
    """Rules and models side by side."""
    return "\n".join(
        [
            "| next passage, asked with | " + " | ".join(REPORTED) + " |",
            "|---" * (len(REPORTED) + 1) + "|",
            *(f"| {row.label} | {_figures(row.figures)} |" for row in rows),
        ]
    )


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Differences with their intervals, one line a rule."""
    return "\n".join(
        [
            "| better than | " + " | ".join(f"Δ{name}" for name in REPORTED) + " |",
            "|---" * (len(REPORTED) + 1) + "|",
            *(_comparison_line(comparison) for comparison in comparisons),
        ]
    )


def tried_table(rows: Sequence[TriedRow]) -> str:
    """Every rule and variant with the epoch and the strength that were kept."""
    return "\n".join(
        [
            "| variant | " + " | ".join(REPORTED) + " | epoch | strength |",
            "|---" * (len(REPORTED) + 3) + "|",
            *(_tried_line(row) for row in rows),
        ]
    )


def verdict_lines(best_rule: Comparison, figures: Mapping[str, float]) -> list[str]:
    """What the figures decide: no worse than the best rule, and the gain that is wanted."""
    no_worse = {
        name: Verdict.FAIL if best_rule.differences[name].high < 0 else Verdict.PASS
        for name in ("R@5", "Contain@50")
    }
    gain = best_rule.differences["R@5"].verdict_at_least(WANTED_GAIN)
    above_zero = best_rule.differences["R@5"].low > 0
    return [
        f"- No worse than {best_rule.rule} beyond the interval: R@5 **{no_worse['R@5'].value}**, "
        f"Contain@50 **{no_worse['Contain@50'].value}**.",
        f"- R@5 above it with the whole interval above zero: **{_yes(above_zero)}**; "
        f"by {WANTED_GAIN:.0%} or more: **{gain.value}**.",
        f"- R@5 at least 0.30, before reranking: **{_yes(figures['R@5'] >= 0.30)}** "
        f"({figures['R@5']:.3f}); MRR at least 0.20 by MRR@10: "
        f"**{_yes(figures['MRR@10'] >= 0.20)}** ({figures['MRR@10']:.3f}); Contain@50 at least "
        f"0.82: **{_yes(figures['Contain@50'] >= 0.82)}** ({figures['Contain@50']:.3f}).",
    ]


def _figures(figures: Mapping[str, float]) -> str:
    return " | ".join(f"{figures[name]:.3f}" for name in REPORTED)


def _tried_line(row: TriedRow) -> str:
    kept = f"{row.epoch} | {row.strength:g}" if row.epoch else " | "
    return f"| {row.label} | {_figures(row.figures)} | {kept} |"


def _comparison_line(comparison: Comparison) -> str:
    cells = " | ".join(_points(comparison.differences[name]) for name in REPORTED)
    return f"| {comparison.rule} | {cells} |"


def _points(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.mean:+.1f} pp ({low:+.1f} to {high:+.1f})"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
