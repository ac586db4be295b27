"""Corpora with questions: paragraphs in article order, read from JSON lines."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from evaluation.split import Part, article_part
from retrieval_core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph; `article_id` is the corpus's own, `title` decides the part of the split."""

    article_id: str
    title: str
    position: int
    text: str
    questions: tuple[str, ...] = ()

    @property
    def part(self) -> Part:
        """The part of the split that the article belongs to."""
        return article_part(self.title)


def read_paragraphs(path: Path) -> list[Paragraph]:
    """Every paragraph of a `.jsonl` or `.jsonl.gz` file, in file order.

    A line has `text`, `position`, and `article_id` or `article` (the title; each stands in for the
    other), and may have `questions`. InvalidInput names the line that is not like that.
    """
    try:
        with _open_text(path) as lines:
            return list(_parse_lines(path, lines))
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise InvalidInput("corpus", f"{path}: cannot be read ({error})") from error


def write_paragraph_corpus(paragraphs: Iterable[Paragraph], path: Path) -> int:
    """Write a corpus that a build keeps paragraph by paragraph; returns how many were written.

    Each line states its passage_id, so that nothing is cut, and the title as its article_id.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with _open_text(path, "wt") as lines:
        for count, paragraph in enumerate(paragraphs, start=1):
            fields = {
                "passage_id": count - 1,
                "article_id": paragraph.title,
                "position": paragraph.position,
                "text": paragraph.text,
            }
            lines.write(json.dumps(fields, ensure_ascii=False) + "\n")
    return count


def _open_text(path: Path, mode: Literal["rt", "wt"] = "rt") -> IO[str]:
    if path.suffix == ".gz":
        # gzip.open is declared to return bytes or text, whatever the mode.
        return io.TextIOWrapper(gzip.GzipFile(path, mode[0] + "b"), encoding="utf-8")
    return path.open(mode, encoding="utf-8")


def _parse_lines(path: Path, lines: Iterable[str]) -> Iterator[Paragraph]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _parse_line(f"{path}, line {number}", line)


def _parse_line(place: str, line: str) -> Paragraph:
    try:
        fields = json.loads(line)
        title = fields["article"] if "article" in fields else fields["article_id"]
        return Paragraph(
            article_id=str(fields.get("article_id", title)),
            title=str(title),
            position=int(fields["position"]),
            text=str(fields["text"]),
            questions=tuple(str(question) for question in fields.get("questions", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput("corpus", f"{place}: is not a paragraph ({error!r})") from error
