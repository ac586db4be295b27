"""Opens a corpus: finds its files, reads their records, and puts them into the order of rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from building.records import DEFAULT_LANE, Origin, Record
from building.table_files import (
    JSON_LINES_SUFFIXES,
    PARQUET_SUFFIX,
    read_json_lines,
    read_parquet,
)
from building.text_files import MARKUP_OF_SUFFIX, read_text_file

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
        if _suffix(corpus.name) is None:
            raise origin.error(f"is none of {', '.join(ACCEPTED_SUFFIXES)}")
        return CorpusFiles((CorpusFile(corpus, _checked_name(corpus.name), DEFAULT_LANE),))
    if not corpus.is_dir():
        raise origin.error("does not exist")
    found = sorted(_walk(corpus), key=lambda path: path.relative_to(corpus).parts)
    files = tuple(_folder_file(corpus, path) for path in found if _suffix(path.name))
    if not files:
        raise origin.error(f"holds no file of {', '.join(ACCEPTED_SUFFIXES)}")
    return CorpusFiles(files, len(found) - len(files))


def read_records(files: Iterable[CorpusFile]) -> Iterator[Record]:
    """All records of the files, file by file. InvalidInput for the first that cannot be used."""
    for file in files:
        try:
            yield from _read_file(file)
        except OSError as error:
            raise Origin(file.name).error(f"cannot be read ({error.strerror})") from error


def order_records(records: Iterable[Record]) -> list[Record]:
    """Records article by article, in the order of rows.

    Articles stand in the order of their first record; within one, records are ordered by position
    where they have one. InvalidInput for an empty corpus, a repeated passage_id, passage_ids or
    positions that only some records of a corpus or an article have, and a repeated position.
    """
    articles: dict[str, list[Record]] = {}
    for record in records:
        articles.setdefault(record.article_id, []).append(record)
    ordered = [record for article in articles.values() for record in _order_article(article)]
    if not ordered:
        raise Origin("corpus").error("is empty: there is no text in it")
    _check_passage_ids(ordered)
    return ordered


def _read_file(file: CorpusFile) -> Iterator[Record]:
    suffix = _suffix(file.path.name)
    if suffix in JSON_LINES_SUFFIXES:
        yield from read_json_lines(file.path, file.name, file.lane)
    elif suffix == PARQUET_SUFFIX:
        yield from read_parquet(file.path, file.name, file.lane)
    elif (record := read_text_file(file.path, file.name, file.lane)) is not None:
        yield record


def _order_article(records: list[Record]) -> list[Record]:
    if all(record.position is None for record in records):
        return records
    places: dict[int, Record] = {}
    for record in records:
        if record.position is None:
            raise record.origin.error(
                f"is missing, while other records of article {record.article_id!r} have one",
                "position",
            )
        if (other := places.setdefault(record.position, record)) is not record:
            raise record.origin.error(
                f"{record.position} of article {record.article_id!r} is taken by {other.origin}",
                "position",
            )
    return [places[position] for position in sorted(places)]


def _check_passage_ids(records: list[Record]) -> None:
    seen: dict[int, Record] = {}
    for record in records:
        if (record.passage_id is None) != (records[0].passage_id is None):
            lacking = record if record.passage_id is None else records[0]
            raise lacking.origin.error(
                "is missing, while other records have one: all have to, or none", "passage_id"
            )
        if record.passage_id is None:
            continue
        if (other := seen.setdefault(record.passage_id, record)) is not record:
            raise record.origin.error(
                f"{record.passage_id} is taken by {other.origin}", "passage_id"
            )


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


def _suffix(name: str) -> str | None:
    lower = name.lower()
    return next((suffix for suffix in ACCEPTED_SUFFIXES if lower.endswith(suffix)), None)
