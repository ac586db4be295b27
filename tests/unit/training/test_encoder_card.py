"""Figures go between the markers of a card and change nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.encoder.card import (
    BEGIN,
    END,
    CardError,
    markdown_table,
    replace_figures,
    update_card,
)

CARD = f"# Card\n\n{BEGIN}\nold\n{END}\n\nAfter.\n"


def test_replaces_only_what_is_between_the_markers() -> None:
    card = replace_figures(CARD, "new figures")
    assert card == f"# Card\n\n{BEGIN}\n\nnew figures\n\n{END}\n\nAfter.\n"
    assert replace_figures(card, "new figures") == card


@pytest.mark.parametrize("card", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_refuses_a_card_without_its_markers(card: str) -> None:
    with pytest.raises(CardError):
        replace_figures(card, "x")


def test_writes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text(CARD, encoding="utf-8")
    update_card(path, "| a |")
    assert "| a |" in path.read_text(encoding="utf-8")


def test_table_names_a_task_once() -> None:
    measures = {"R@1": 0.5, "R@5": 0.75, "MRR@10": 0.625, "Contain@50": 1.0}
    table = markdown_table(
        [{"task": "t", "system": "a", **measures}, {"task": "t", "system": "b", **measures}]
    )
    assert table.splitlines()[2:] == [
        "| t | a | 0.500 | 0.750 | 0.625 | 1.000 |",
        "|  | b | 0.500 | 0.750 | 0.625 | 1.000 |",
    ]
