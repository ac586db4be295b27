"""Reads JSON lines (plain or gzipped) and Parquet: one line or row is one record."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from building.records import Origin, Record
from building.rows import COLUMNS, make_record

MAX_LINE_BYTES = 16 * 2**20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ROWS_PER_READ = 4096


def read_json_lines(path: Path, name: str, lane: str) -> Iterator[Record]:
    """Records of a `.jsonl` or `.jsonl.gz` file, in file order; blank lines are skipped.

    InvalidInput names the line (counted from 1) and the field at fault.
    """
    with _open(path) as stream:
        for number, line in _lines(stream, name):
            origin = Origin(name, f"line {number}")
            yield make_record(_parsed(line, origin), origin, lane)


def read_parquet(path: Path, name: str, lane: str) -> Iterator[Record]:
    """Records of a Parquet file, in file order; rows are counted from 1 over the whole file."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise Origin(name).error(f"is not a Parquet file ({_first_line(error)})") from error
    with file:
        columns = [column for column in COLUMNS if column in file.schema_arrow.names]
        if "text" not in columns:
            raise Origin(name).error(f"is missing; columns: {file.schema_arrow.names}", "text")
        number = 0
        for rows in _row_batches(file, columns, name):
            for row in rows:
                number += 1
                yield make_record(row, Origin(name, f"row {number}"), lane)


def _row_batches(
    file: pq.ParquetFile, columns: list[str], name: str
) -> Iterator[list[dict[str, object]]]:
    done = 0
    batches = file.iter_batches(batch_size=_ROWS_PER_READ, columns=columns)
    while True:
        try:
            batch = next(batches, None)
            rows = None if batch is None else batch.to_pylist()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            place = f"rows {done + 1} to {done + _ROWS_PER_READ}"
            raise Origin(name, place).error(f"cannot be read ({_first_line(error)})") from error
        if rows is None:
            return
        done += len(rows)
        yield rows


def _open(path: Path) -> BinaryIO:
    if path.suffix.lower() == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def _lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line with something on it."""
    number = 0
    while True:
        number += 1
        origin = Origin(name, f"line {number}")
        try:
            line = stream.readline(MAX_LINE_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise origin.error(f"cannot be read ({error})") from error
        if not line:
            return
        if len(line) > MAX_LINE_BYTES:
            raise origin.error(f"is longer than {MAX_LINE_BYTES} bytes")
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.strip():
            yield number, line


def _parsed(line: bytes, origin: Origin) -> dict[str, object]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise origin.error(f"is not UTF-8 (byte {error.start + 1} of the line)") from error
    except (ValueError, RecursionError) as error:
        raise origin.error(f"is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise origin.error("is not a JSON object")
    return row


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
