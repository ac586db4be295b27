"""Paragraphs in article order with the questions that they answer, read from JSON lines."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from training.split import Part, article_part

SHARED_WORDS = 8  # so many in a row that also stand in a held-out paragraph rule a text out
_WORD = re.compile(r"[a-z0-9]+")


class CorpusError(ValueError):
    """A corpus file that cannot be read as paragraphs."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph of an article; `questions` are answered by its text.

    is_extra: of a text that is only trained on, whatever its article's name.
    """

    article: str
    position: int
    text: str
    questions: tuple[str, ...]
    is_extra: bool = False

    @property
    def part(self) -> Part:
        """The part of the split that the article belongs to."""
        return "train" if self.is_extra else article_part(self.article)


def read_paragraphs(path: Path) -> list[Paragraph]:
    """Every paragraph of a `.jsonl` or `.jsonl.gz` file, in file order.

    Raises CorpusError, naming the line, for a line without the fields `article`, `position`,
    `text` and `questions`.
    """
    with _open_text(path) as lines:
        return [_parse_line(path, number, line) for number, line in _numbered(lines)]


def read_extra_paragraphs(paths: Iterable[Path], corpus: Iterable[Paragraph]) -> list[Paragraph]:
    """The paragraphs of further files without their questions, all to train on.

    Says on standard error how many.

    One that shares SHARED_WORDS words in a row with a validation or evaluation paragraph of
    `corpus` is left out. Raises CorpusError, as `read_paragraphs` does.
    """
    held_out = {run for p in corpus if p.part != "train" for run in _word_runs(p.text)}
    kept: list[Paragraph] = []
    for path in paths:
        read = [
            dataclasses.replace(each, questions=(), is_extra=True) for each in read_paragraphs(path)
        ]
        clean = [each for each in read if held_out.isdisjoint(_word_runs(each.text))]
        sys.stderr.write(
            f"{path}: {len(clean)} paragraphs more, {len(read) - len(clean)} left out since "
            f"they share {SHARED_WORDS} words in a row with a paragraph that is held out\n"
        )
        kept += clean
    return kept


def _word_runs(text: str) -> Iterator[int]:
    words = _WORD.findall(text.lower())
    return (hash(tuple(words[n : n + SHARED_WORDS])) for n in range(len(words) - SHARED_WORDS + 1))


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
