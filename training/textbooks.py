"""Textbooks as paragraphs: `python -m training.textbooks REPOSITORY[@COMMIT] ... --out FILE`.

Reads books that are kept as CNXML modules in git repositories on this machine, OpenStax's for one.
A module is an article; exercises, figures and tables are left out, and so is what stands inside a
paragraph but is no part of its sentences: footnotes, formulas, lists. The file that it writes
has the form of a corpus without questions, for `--more` of the training commands.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from training.encoder.corpus import Paragraph

_CNXML = "{http://cnx.rice.edu/cnxml}"
_LEFT_OUT = frozenset(
    {
        *("footnote", "figure", "media", "note", "title", "math", "table", "list", "equation"),
        *("exercise", "iframe"),
    }
)
_SKIPPED_SECTIONS = re.compile(r"exercis|question|reference|further|key-|critical|problems|review")
SHORTEST_WORDS = 25
FEWEST_PARAGRAPHS = 3


class BookError(ValueError):
    """A repository that cannot be read, without modules at that commit, or with a broken one."""


def book_paragraphs(repository: Path, commit: str = "HEAD") -> Iterator[Paragraph]:
    """The paragraphs of every module with at least FEWEST_PARAGRAPHS. Raises BookError.

    Their article is "<repository>/<module>"; none has a question.
    """
    for name, content in _modules(repository, commit):
        try:
            texts = module_paragraphs(content)
        except BookError as error:
            raise BookError(f"{repository} at {commit}, {name}: {error}") from error
        if len(texts) >= FEWEST_PARAGRAPHS:
            article = f"{repository.absolute().name}/{name}"
            for position, text in enumerate(texts):
                yield Paragraph(article, position, text, (), is_extra=True)


def module_paragraphs(content: bytes) -> list[str]:
    """The running text of one CNXML module, paragraphs of at least SHORTEST_WORDS words."""
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise BookError("not a module: it declares entities")
    try:
        root = ET.fromstring(content)  # noqa: S314 - without entities nothing expands
    except ET.ParseError as error:
        raise BookError(f"not a module: {error}") from error
    body = root.find(f"{_CNXML}content")
    texts = [] if body is None else [_text(each) for each in _paragraph_elements(body)]
    return [text for text in texts if len(text.split()) >= SHORTEST_WORDS]


def _modules(repository: Path, commit: str) -> Iterator[tuple[str, bytes]]:
    command = ["git", "-C", str(repository), "archive", commit, "modules"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip()
        raise BookError(f"{repository} at {commit}: {reason}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            opened = archive.extractfile(member) if member.name.endswith("/index.cnxml") else None
            if opened is not None:
                yield Path(member.name).parent.name, opened.read()


def _paragraph_elements(parent: ET.Element) -> Iterator[ET.Element]:
    for child in parent:
        tag = _name(child)
        if tag == "para":
            yield child
        elif tag in {"section", "note"} and not _SKIPPED_SECTIONS.search(child.get("class") or ""):
            yield from _paragraph_elements(child)


def _name(element: ET.Element) -> str:
    """The tag without its namespace: formulas have another than the text around them."""
    return element.tag.rpartition("}")[2]


def _text(element: ET.Element) -> str:
    return re.sub(r"\s+", " ", "".join(_pieces(element))).strip()


def _pieces(element: ET.Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if _name(child) in _LEFT_OUT:
            yield " "
        else:
            yield from _pieces(child)
        yield child.tail or ""


def write_paragraphs(paragraphs: Iterator[Paragraph], path: Path) -> int:
    """Writes each text once, as gzipped JSON lines. Returns how many."""
    seen: set[bytes] = set()
    partial = path.with_name(path.name + ".partial")
    # The time of writing is left out, so that the same books give the same bytes.
    with (
        partial.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8") as stream,
    ):
        for paragraph in paragraphs:
            key = hashlib.sha256(paragraph.text.encode()).digest()
            if key not in seen:
                seen.add(key)
                stream.write(_line(paragraph) + "\n")
    partial.replace(path)
    return len(seen)


def _line(paragraph: Paragraph) -> str:
    fields = {
        "article": paragraph.article,
        "position": paragraph.position,
        "text": paragraph.text,
        "questions": [],
    }
    return json.dumps(fields, ensure_ascii=False)


def _of_all(books: Sequence[str]) -> Iterator[Paragraph]:
    for book in books:
        folder, _, commit = book.partition("@")
        sys.stderr.write(f"reading {folder}\n")
        yield from book_paragraphs(Path(folder), commit or "HEAD")


def main() -> int:
    """Runs the command. 0, or 2 for a repository that cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m training.textbooks", description="Textbooks as paragraphs to train on."
    )
    parser.add_argument("books", nargs="+", metavar="REPOSITORY[@COMMIT]")
    parser.add_argument("--out", type=Path, required=True, help="file to write, .jsonl.gz")
    options = parser.parse_args()
    try:
        count = write_paragraphs(_of_all(options.books), options.out)
    except BookError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stderr.write(f"wrote {count} paragraphs to {options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
