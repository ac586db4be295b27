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
    read_paragraphs,
)


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
