"""Turns ordered records into numbered passages, and those into the table of a release."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from building.cutting import Cutter
from building.records import Origin, Passage, Record
from releases.passages import PASSAGE_SCHEMA

_RECORDS_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class CutCorpus:
    """All passages in the order of rows; `truncated_count` exceed what the encoder reads."""

    passages: tuple[Passage, ...]
    truncated_count: int


def cut_records(
    records: Sequence[Record], cutter: Cutter, max_tokens: int, on_progress: Callable[[int], object]
) -> CutCorpus:
    """Cut every record; `max_tokens` is what the encoder reads of a text, special tokens included.

    Records stand article by article. Passages without an id of their own are numbered by row;
    positions count from 0 within the article, unless a record with an id states its own. A text
    without any word raises InvalidInput, but for a text file: that is left out.
    """
    passages: list[Passage] = []
    truncated_count = 0
    article_id, position = None, 0
    for record in _prepared(records, cutter):
        if record.article_id != article_id:
            article_id, position = record.article_id, 0
        pieces = _pieces(record, cutter)
        if record.passage_id is not None:
            truncated_count += cutter.token_count(record.text) > max_tokens
        for text in pieces:
            passages.append(_passage(record, len(passages), position, text))
            position += 1
        on_progress(1)
    if not passages:
        raise Origin("corpus").error("is empty: there is no text in it")
    return CutCorpus(tuple(passages), truncated_count)


def _prepared(records: Sequence[Record], cutter: Cutter) -> Iterator[Record]:
    for start in range(0, len(records), _RECORDS_AT_A_TIME):
        batch = records[start : start + _RECORDS_AT_A_TIME]
        cutter.prepare(batch)
        yield from batch


def passage_table(passages: Sequence[Passage]) -> pa.Table:
    """The passages as a table of PASSAGE_SCHEMA, row by row."""
    columns = {
        name: [getattr(passage, name) for passage in passages] for name in PASSAGE_SCHEMA.names
    }
    return pa.table(columns, schema=PASSAGE_SCHEMA)


def _pieces(record: Record, cutter: Cutter) -> list[str]:
    pieces = cutter.cut(record)
    if not pieces and record.markup == "plain" and record.origin.place:
        raise record.origin.error("has no words", "text")
    return pieces


def _passage(record: Record, row: int, position: int, text: str) -> Passage:
    stated = record.passage_id is not None
    return Passage(
        record.passage_id if record.passage_id is not None else row,
        record.article_id,
        record.position if stated and record.position is not None else position,
        record.lane,
        text,
    )
