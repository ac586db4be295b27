"""Checks one row of a table, from JSON lines or Parquet, and makes it a record."""

from __future__ import annotations

from collections.abc import Mapping

from building.records import INT64_MAX, POSITION_MAX, Origin, Record

COLUMNS = ("text", "passage_id", "article_id", "position", "lane")
"""What is read of a row; `text` is required, null counts as absent, the rest is ignored."""

MAX_NAME_CHARACTERS = 500
MAX_PASSAGE_BYTES = 2**20
"""Of a row with a passage_id: it is encoded as it stands."""


def make_record(row: Mapping[str, object], origin: Origin, default_lane: str) -> Record:
    """A record from one row. InvalidInput names file, line and field.

    Without an article_id a row is an article of its own, called after its place in the file.
    """
    text = _text(row, origin)
    article_id = _article_id(row.get("article_id"), origin)
    lane = row.get("lane")
    passage_id = _integer(row.get("passage_id"), "passage_id", origin, INT64_MAX)
    if passage_id is not None and len(text.encode()) > MAX_PASSAGE_BYTES:
        raise origin.error(f"is one passage of more than {MAX_PASSAGE_BYTES} bytes", "text")
    return Record(
        origin=origin,
        article_id=article_id or f"{origin.file}:{origin.place.rpartition(' ')[2]}",
        lane=default_lane if lane is None else _name(lane, "lane", origin),
        text=text,
        passage_id=passage_id,
        position=_integer(row.get("position"), "position", origin, POSITION_MAX),
    )


def _text(row: Mapping[str, object], origin: Origin) -> str:
    text = row.get("text")
    if text is None:
        raise origin.error("is missing", "text")
    if not isinstance(text, str):
        raise origin.error(f"must be a string, is {_shown(text)}", "text")
    if not text.strip():
        raise origin.error("is empty", "text")
    _check_encodable(text, "text", origin)
    return text


def _article_id(value: object, origin: Origin) -> str | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _name(value, "article_id", origin)


def _name(value: object, field: str, origin: Origin) -> str:
    if not isinstance(value, str):
        expected = "a string or a whole number" if field == "article_id" else "a string"
        raise origin.error(f"must be {expected}, is {_shown(value)}", field)
    if not value.strip():
        raise origin.error("is empty", field)
    if len(value) > MAX_NAME_CHARACTERS:
        raise origin.error(f"has {len(value)} characters, at most {MAX_NAME_CHARACTERS}", field)
    _check_encodable(value, field, origin)
    return value


def _integer(value: object, field: str, origin: Origin, high: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise origin.error(f"must be a whole number, is {_shown(value)}", field)
    if not 0 <= value <= high:
        raise origin.error(f"must lie between 0 and {high}, is {_shown(value)}", field)
    return value


def _check_encodable(value: str, field: str, origin: Origin) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise origin.error(
            "holds half of a surrogate pair, which is no character", field
        ) from error


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a huge number"
    return text if len(text) <= 60 else f"{text[:57]}..."
