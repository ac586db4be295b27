"""Paragraphs are cut at sentence ends; what is too short to mean much is left out."""

from __future__ import annotations

from training.encoder.texts import split_sentences


def test_cuts_at_ends_followed_by_a_capital_or_a_digit() -> None:
    text = (
        "He was born in Warsaw, e.g. near the river. 12 of his works are lost today! "
        '"Was he ever happy in Paris?" asked nobody. Yes.'
    )
    assert split_sentences(text) == [
        "He was born in Warsaw, e.g. near the river.",
        "12 of his works are lost today!",
        '"Was he ever happy in Paris?" asked nobody.',
    ]


def test_a_text_without_an_end_is_one_sentence() -> None:
    assert split_sentences("five words and no end") == ["five words and no end"]
    assert split_sentences("") == []
