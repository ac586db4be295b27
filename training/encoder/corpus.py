"""Paragraphs in article order with the questions that they answer, read from JSON lines."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from training.split import Part, article_part


class CorpusError(ValueError):
    """A corpus file that cannot be read as paragraphs."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph of an article; `questions` are answered by its text."""

    article: str
    position: int
    text: str
    questions: tuple[str, ...]

    @property
    def part(self) -> Part:
        """The part of the split that the article belongs to."""
        return article_part(self.article)


def read_paragraphs(path: Path) -> list[Paragraph]:
    """Every paragraph of a `.jsonl` or `.jsonl.gz` file, in file order.

    Raises CorpusError, naming the line, for a line without the fields `article`, `position`,
    `text` and `questions`.
    """
    with _open_text(path) as lines:
        return [_parse_line(path, number, line) for number, line in _numbered(lines)]


def paragraphs_of(paragraphs: Iterable[Paragraph], part: Part) -> list[Paragraph]:
    """The paragraphs whose article belongs to `part`, in the order given."""
    return [paragraph for paragraph in paragraphs if paragraph.part == part]


def question_owners(paragraphs: Sequence[Paragraph]) -> tuple[list[str], list[int]]:
    """All questions, and for each the row of the paragraph that answers it."""
    questions: list[str] = []
    owners: list[int] = []
    for row, paragraph in enumerate(paragraphs):
        questions.extend(paragraph.questions)
        owners.extend([row] * len(paragraph.questions))
    return questions, owners


def next_rows(paragraphs: Sequence[Paragraph]) -> list[int]:
    """For each row the row of the paragraph that follows in the same article, or -1."""
    place = {(p.article, p.position): row for row, p in enumerate(paragraphs)}
    return [place.get((p.article, p.position + 1), -1) for p in paragraphs]


def _open_text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def _parse_line(path: Path, number: int, line: str) -> Paragraph:
    try:
        fields = json.loads(line)
        return Paragraph(
            article=str(fields["article"]),
            position=int(fields["position"]),
            text=str(fields["text"]),
            questions=tuple(str(question) for question in fields["questions"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorpusError(f"{path}, line {number}: not a paragraph ({error})") from error
