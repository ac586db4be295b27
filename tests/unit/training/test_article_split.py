"""The split is fixed, covers every article once, and keeps its promised sizes."""

from __future__ import annotations

import pytest

from training.split import (
    EVALUATION_SHARE,
    VALIDATION_SHARE,
    article_part,
    article_position,
    split_articles,
)


@pytest.mark.parametrize(
    ("title", "part"),
    [
        ("2008_Sichuan_earthquake", "train"),
        ("Beyoncé", "train"),
    ],
)
def test_known_titles_keep_their_part(title: str, part: str) -> None:
    assert article_part(title) == part


def test_position_is_a_fixed_function_of_the_title() -> None:
    assert article_position("New_York_City") == article_position("New_York_City")
    assert article_position("New_York_City") != article_position("New_York_city")


def test_shares_hold_over_many_titles() -> None:
    titles = [f"Article_{number}" for number in range(20_000)]
    parts = split_articles(titles)
    assert sum(len(part) for part in parts.values()) == len(titles)
    assert len(parts["evaluation"]) / len(titles) == pytest.approx(EVALUATION_SHARE, abs=0.01)
    assert len(parts["validation"]) / len(titles) == pytest.approx(VALIDATION_SHARE, abs=0.01)


def test_split_lists_each_title_once_and_sorted() -> None:
    parts = split_articles(["b", "a", "b"])
    listed = [title for part in parts.values() for title in part]
    assert sorted(listed) == ["a", "b"]
