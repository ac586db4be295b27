"""Writes measured figures into a model card, between markers, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

BEGIN = "<!-- figures: written by the evaluation command, not by hand -->"
END = "<!-- end of figures -->"

Row = dict[str, object]
MEASURES = ("R@1", "R@5", "MRR@10", "Contain@50")


class CardError(ValueError):
    """A card without the two markers, in this order, once each."""


def replace_figures(card: str, figures: str) -> str:
    """The card with `figures` between its markers. Raises CardError without them."""
    if card.count(BEGIN) != 1 or card.count(END) != 1 or card.index(BEGIN) > card.index(END):
        raise CardError(f"the card needs one line {BEGIN!r} and, below it, one {END!r}")
    head, _, rest = card.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{figures.strip()}\n\n{END}{tail}"


def update_card(path: Path, figures: str) -> None:
    """Rewrites the card at `path` with new figures."""
    path.write_text(replace_figures(path.read_text(encoding="utf-8"), figures), encoding="utf-8")


def markdown_table(rows: Sequence[Row]) -> str:
    """Rows with `task`, `system` and the four measures as one Markdown table."""
    lines = [
        "| task | system | " + " | ".join(MEASURES) + " |",
        "|---|---|" + "---|" * len(MEASURES),
    ]
    previous = ""
    for row in rows:
        task = str(row["task"])
        figures = " | ".join(f"{row[name]:.3f}" for name in MEASURES)
        lines.append(f"| {task if task != previous else ''} | {row['system']} | {figures} |")
        previous = task
    return "\n".join(lines)
