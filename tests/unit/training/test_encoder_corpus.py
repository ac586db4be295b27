"""Paragraph files are read whole, with line numbers in errors, and pairs point the right way."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from training.encoder.corpus import (
    CorpusError,
    Paragraph,
    next_rows,
    question_owners,
    read_extra_paragraphs,
    read_paragraphs,
)
from training.split import article_part


def write_lines(path: Path, lines: list[str]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
    return path


def line(article: str, position: int, *questions: str) -> str:
    fields = {"article": article, "position": position, "text": f"{article} {position}"}
    return json.dumps({**fields, "questions": list(questions)})


def test_reads_compressed_lines_in_order(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "p.jsonl.gz", [line("A", 0, "q?"), "", line("A", 1)])
    assert read_paragraphs(path) == [
        Paragraph("A", 0, "A 0", ("q?",)),
        Paragraph("A", 1, "A 1", ()),
    ]


@pytest.mark.parametrize(
    "broken", ["{", "[]", '{"article": "A"}', '{"article": "A", "position": {}}']
)
def test_names_the_line_that_is_no_paragraph(tmp_path: Path, broken: str) -> None:
    path = write_lines(tmp_path / "p.jsonl.gz", [line("A", 0), broken])
    with pytest.raises(CorpusError, match="line 2"):
        read_paragraphs(path)


def test_each_question_points_to_the_paragraph_it_stands_with() -> None:
    paragraphs = [
        Paragraph("A", 0, "x", ("a", "b")),
        Paragraph("A", 1, "y", ()),
        Paragraph("B", 0, "z", ("c",)),
    ]
    assert question_owners(paragraphs) == (["a", "b", "c"], [0, 0, 2])


def test_the_next_row_stays_within_the_article_and_skips_gaps() -> None:
    paragraphs = [
        Paragraph("A", 0, "", ()),
        Paragraph("A", 1, "", ()),
        Paragraph("B", 2, "", ()),
        Paragraph("A", 3, "", ()),
    ]
    assert next_rows(paragraphs) == [1, -1, -1, -1]


def held_out_article() -> str:
    """The title of an article that the fixed split keeps from training."""
    titles = (f"article {number}" for number in range(1000))
    return next(title for title in titles if article_part(title) != "train")


def test_more_text_is_all_trained_on_except_what_repeats_a_held_out_paragraph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    title = held_out_article()
    held_out = Paragraph(title, 0, "The quick brown fox jumps over the lazy dog at noon.", ())
    texts = ["Once, THE QUICK brown fox (jumps) over the lazy dog.", "The quick brown fox jumps."]
    lines = [
        json.dumps({"article": title, "position": n, "text": text, "questions": []})
        for n, text in enumerate(texts)
    ]
    path = write_lines(tmp_path / "more.jsonl.gz", lines)
    (kept,) = read_extra_paragraphs([path], [held_out])
    assert kept.text == texts[1]
    assert (held_out.part, kept.part) == (article_part(title), "train")
    assert "1 paragraphs more, 1 left out" in capsys.readouterr().err
