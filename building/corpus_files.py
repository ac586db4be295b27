"""Finds the files of a corpus, and the lane and the name of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from building.records import DEFAULT_LANE, Markup, Origin

MARKUP_OF_SUFFIX = MappingProxyType[str, Markup](
    {".txt": "plain", ".md": "markdown", ".rst": "rst"}
)
JSON_LINES_SUFFIXES = (".jsonl", ".jsonl.gz")
PARQUET_SUFFIX = ".parquet"
ACCEPTED_SUFFIXES = (*MARKUP_OF_SUFFIX, *JSON_LINES_SUFFIXES, PARQUET_SUFFIX)


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file of a corpus; `name` is its POSIX path within the corpus."""

    path: Path
    name: str
    lane: str


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """The files to read, in order, and how many others were passed over."""

    files: tuple[CorpusFile, ...]
    ignored_count: int = 0


def find_files(corpus: Path) -> CorpusFiles:
    """The files of a folder, sorted by path, or the one file.

    The lane is the first subfolder, or "default". Hidden files and folders are passed over without
    a word, files of other kinds are counted. InvalidInput where there is nothing to read.
    """
    origin = Origin(str(corpus))
    if corpus.is_file():
        if accepted_suffix(corpus.name) is None:
            raise origin.error(f"is none of {', '.join(ACCEPTED_SUFFIXES)}")
        return CorpusFiles((CorpusFile(corpus, _checked_name(corpus.name), DEFAULT_LANE),))
    if not corpus.is_dir():
        raise origin.error("does not exist")
    found = sorted(_walk(corpus), key=lambda path: path.relative_to(corpus).parts)
    files = tuple(_folder_file(corpus, path) for path in found if accepted_suffix(path.name))
    if not files:
        raise origin.error(f"holds no file of {', '.join(ACCEPTED_SUFFIXES)}")
    return CorpusFiles(files, len(found) - len(files))


def accepted_suffix(name: str) -> str | None:
    """The ending of ACCEPTED_SUFFIXES that a file's name has, in any case of letters, or None."""
    lower = name.lower()
    return next((suffix for suffix in ACCEPTED_SUFFIXES if lower.endswith(suffix)), None)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _folder_file(corpus: Path, path: Path) -> CorpusFile:
    relative = path.relative_to(corpus)
    lane = relative.parts[0] if len(relative.parts) > 1 else DEFAULT_LANE
    return CorpusFile(path, _checked_name(relative.as_posix()), lane)


def _checked_name(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise Origin(repr(name)).error("has a name that is not UTF-8") from error
    return name
