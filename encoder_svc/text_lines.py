"""Texts of a JSON lines file; what is wrong is named by line and field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from encoder_svc.encoder import LARGEST_TEXT_BYTES
from encoder_svc.tokens import check_texts
from retrieval_core.errors import InvalidInput

FIELD = "text"


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows [first, first + count) of a file, counted from 0."""

    first: int
    count: int


def count_lines(path: Path) -> int:
    """Lines of the file, one a text. InvalidInput for a file without any."""
    with path.open("rb") as stream:
        count = sum(1 for _ in stream)
    if not count:
        raise InvalidInput("input", f"{path} has no lines", reason="NO_TEXTS")
    return count


def read_texts(path: Path, rows: RowRange | None = None) -> list[str]:
    """The texts of all lines, or of some rows; text i is row i.

    InvalidInput names the line, from 1, and the field: `line 3: text is missing`.
    """
    first, count = (0, None) if rows is None else (rows.first, rows.count)
    with path.open("rb") as stream:
        chosen = islice(stream, first, None if count is None else first + count)
        return list(_texts(chosen, first + 1))


def _texts(lines: Iterator[bytes], first_number: int) -> Iterator[str]:
    for number, line in enumerate(lines, first_number):
        yield _text(line, number)


def _text(line: bytes, number: int) -> str:
    where = f"line {number}"
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidInput(where, "is not UTF-8", reason="NOT_UTF8") from None
    except ValueError as error:
        raise InvalidInput(where, f"is not JSON ({error})", reason="NOT_JSON") from None
    if not isinstance(value, dict):
        raise InvalidInput(where, "is not a JSON object", reason="NOT_AN_OBJECT")
    if FIELD not in value:
        raise InvalidInput(where, f"{FIELD} is missing", reason="MISSING_FIELD")
    text = value[FIELD]
    if not isinstance(text, str):
        raise InvalidInput(where, f"{FIELD} is not a string", reason="WRONG_TYPE")
    _check_encodable(text, where)
    return text


def _check_encodable(text: str, where: str) -> None:
    try:
        check_texts([text], max_bytes=LARGEST_TEXT_BYTES, name_of=lambda _: f"{where}: {FIELD}")
    except UnicodeEncodeError:
        raise InvalidInput(
            where, f"{FIELD} has half of a surrogate pair", reason="NOT_UTF8"
        ) from None
