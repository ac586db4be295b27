"""Reads the records of a corpus's files and puts them into the order of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from building.corpus_files import (
    JSON_LINES_SUFFIXES,
    PARQUET_SUFFIX,
    CorpusFile,
    accepted_suffix,
)
from building.records import Origin, Record
from building.table_files import read_json_lines, read_parquet
from building.text_files import read_text_file


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
    suffix = accepted_suffix(file.path.name)
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
