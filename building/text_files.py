"""Reads text, Markdown and reStructuredText files: one file is one article."""

from __future__ import annotations

from pathlib import Path

from building.corpus_files import MARKUP_OF_SUFFIX
from building.records import Origin, Record

MAX_FILE_BYTES = 64 * 2**20


def read_text_file(path: Path, name: str, lane: str) -> Record | None:
    """The article in `path`, or None for a file of nothing but white space.

    `name` is the article's id and what errors call the file. A byte order mark is dropped and
    line ends become \\n. InvalidInput for a file that is not UTF-8, with the line, or too long.
    """
    origin = Origin(name)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise origin.error(f"has {path.stat().st_size} bytes, at most {MAX_FILE_BYTES}")
    text = _decoded(path.read_bytes(), origin)
    if not text.strip():
        return None
    return Record(origin, name, lane, text, MARKUP_OF_SUFFIX[path.suffix.lower()])


def _decoded(content: bytes, origin: Origin) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        place = Origin(origin.file, f"line {line}")
        raise place.error(f"is not UTF-8 (byte 0x{content[error.start]:02x})") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
