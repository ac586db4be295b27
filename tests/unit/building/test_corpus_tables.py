"""JSON lines and Parquet: what is accepted, and that every defect names file, place and field."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from building import table_files
from building.reading import order_records
from building.records import Record
from building.table_files import read_json_lines, read_parquet
from retrieval_core.errors import InvalidInput


def _read(path: Path) -> list[Record]:
    if path.suffix == ".parquet":
        return list(read_parquet(path, path.name, "default"))
    return list(read_json_lines(path, path.name, "default"))


def _lines(folder: Path, *rows: object) -> Path:
    path = folder / "c.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _table(folder: Path, **columns: object) -> Path:
    path = folder / "c.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_a_line_becomes_a_record(tmp_path: Path) -> None:
    path = _lines(
        tmp_path,
        {"text": "One.", "article_id": 7, "position": 2, "lane": "news", "questions": ["Why?"]},
        {"text": "Two.", "article_id": "b", "passage_id": 2**63 - 1, "lane": None},
        {"text": "Three."},
    )
    one, two, three = _read(path)
    assert (one.article_id, one.position, one.lane, one.text) == ("7", 2, "news", "One.")
    assert (two.article_id, two.passage_id, two.lane) == ("b", 2**63 - 1, "default")
    assert three.article_id == "c.jsonl:3"
    assert (three.passage_id, three.position) == (None, None)


def test_blank_lines_marks_and_line_ends_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "One"}\r\n\r\n  \n{"text": "a\\u2028b"}')
    one, two = _read(path)
    assert one.text == "One"
    assert two.text == "a\u2028b"
    assert str(two.origin) == "c.jsonl, line 4"


def test_gzipped_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "One"}\n{"text": "Two"}\n'))
    assert [record.text for record in _read(path)] == ["One", "Two"]


@pytest.mark.parametrize(
    ("line", "field", "description"),
    [
        (b'{"text": "a"', None, "is not JSON"),
        (b"[1]", None, "is not a JSON object"),
        (b'{"text": "\xff"}', None, "is not UTF-8 (byte 11 of the line)"),
        pytest.param(b"[" * 100_000, None, "is not JSON", id="nested too deep"),
        (b"{}", "text", "is missing"),
        (b'{"text": null}', "text", "is missing"),
        (b'{"text": NaN}', "text", "must be a string, is nan"),
        (b'{"text": ["a"]}', "text", "must be a string"),
        (b'{"text": " \\n"}', "text", "is empty"),
        (b'{"text": "\\ud800"}', "text", "holds half of a surrogate pair"),
        (b'{"text": "a", "passage_id": "1"}', "passage_id", "must be a whole number, is '1'"),
        (b'{"text": "a", "passage_id": 1.0}', "passage_id", "must be a whole number, is 1.0"),
        (b'{"text": "a", "passage_id": true}', "passage_id", "must be a whole number"),
        (b'{"text": "a", "passage_id": -1}', "passage_id", "must lie between 0 and"),
        (b'{"text": "a", "passage_id": 9223372036854775808}', "passage_id", "must lie between"),
        (b'{"text": "a", "position": NaN}', "position", "must be a whole number, is nan"),
        (b'{"text": "a", "position": 2147483648}', "position", "must lie between"),
        (b'{"text": "a", "article_id": 1.5}', "article_id", "must be a string or a whole number"),
        (b'{"text": "a", "article_id": ""}', "article_id", "is empty"),
        (b'{"text": "a", "lane": 3}', "lane", "must be a string, is 3"),
        (b'{"text": "a", "lane": " "}', "lane", "is empty"),
    ],
)
def test_bad_lines_are_named(
    tmp_path: Path, line: bytes, field: str | None, description: str
) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line + b"\n")
    with pytest.raises(InvalidInput) as caught:
        _read(path)
    where = "c.jsonl, line 2" + (f", field `{field}`" if field else "")
    assert caught.value.message.startswith(f"{where}: {description}")


def test_long_lines_are_refused_before_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "MAX_LINE_BYTES", 40)
    path = _lines(tmp_path, {"text": "x" * 25}, {"text": "x" * 60})
    with pytest.raises(InvalidInput, match="line 2: is longer than 40 bytes"):
        _read(path)


def test_one_passage_has_a_limit_of_its_own(tmp_path: Path) -> None:
    long_text = "word " * 210_000
    assert _read(_lines(tmp_path, {"text": long_text}))[0].text == long_text
    with pytest.raises(InvalidInput, match=r"line 1, field `text`: is one passage of more than"):
        _read(_lines(tmp_path, {"text": long_text, "passage_id": 1}))


@pytest.mark.parametrize("damage", ["cut", "flip", "plain"])
def test_damaged_gzip_is_named(tmp_path: Path, damage: str) -> None:
    content = bytearray(gzip.compress(b'{"text": "One"}\n' * 1000))
    path = tmp_path / "c.jsonl.gz"
    if damage == "cut":
        path.write_bytes(content[:-12])
    elif damage == "flip":
        content[20] ^= 0xFF
        path.write_bytes(content)
    else:
        path.write_bytes(b'{"text": "One"}\n')
    with pytest.raises(InvalidInput, match=r"c\.jsonl\.gz, line \d+"):
        _read(path)


def test_parquet_rows_are_records(tmp_path: Path) -> None:
    path = _table(
        tmp_path,
        text=pa.array(["One.", "Two."], pa.large_string()),
        article_id=pa.array([3, 4], pa.int32()),
        passage_id=pa.array([10, 11], pa.uint64()),
        lane=pa.array(["x", None]).dictionary_encode(),
        other=[1.5, 2.5],
    )
    one, two = _read(path)
    assert (one.article_id, one.passage_id, one.lane) == ("3", 10, "x")
    assert (two.lane, str(two.origin)) == ("default", "c.parquet, row 2")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"body": ["a"]}, "c.parquet, field `text`: is missing; columns: ['body']"),
        ({"text": ["a", None]}, "c.parquet, row 2, field `text`: is missing"),
        ({"text": ["a", ""]}, "c.parquet, row 2, field `text`: is empty"),
        ({"text": [b"a"]}, "c.parquet, row 1, field `text`: must be a string"),
        ({"text": ["a"], "passage_id": [1.0]}, "c.parquet, row 1, field `passage_id`: must be a"),
        ({"text": ["a"], "position": [float("nan")]}, "field `position`: must be a whole number"),
    ],
)
def test_bad_tables_are_named(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _read(_table(tmp_path, **columns))
    assert message in caught.value.message


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    path.write_bytes(b"PAR1 nothing of that kind PAR1")
    with pytest.raises(InvalidInput, match=r"c\.parquet: is not a Parquet file"):
        _read(path)
    content = bytearray(_table(tmp_path, text=["One." * 50] * 5000).read_bytes())
    content[10:60] = b"\xff" * 50
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"c\.parquet, rows 1 to 4096: cannot be read"):
        _read(path)


def test_text_in_parquet_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    with pytest.raises(InvalidInput, match=r"c\.parquet, rows 1 to"):
        _read(_table(tmp_path, text=broken))


def test_articles_are_gathered_and_ordered_by_position(tmp_path: Path) -> None:
    path = _lines(
        tmp_path,
        {"text": "b1", "article_id": "b", "position": 1},
        {"text": "a", "article_id": "a"},
        {"text": "b0", "article_id": "b", "position": 0},
        {"text": "a, later", "article_id": "a"},
    )
    assert [record.text for record in order_records(_read(path))] == ["b0", "b1", "a", "a, later"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"text": "a", "passage_id": 5}, {"text": "b", "passage_id": 5}],
            "c.jsonl, line 2, field `passage_id`: 5 is taken by c.jsonl, line 1",
        ),
        (
            [{"text": "a", "passage_id": 5}, {"text": "b"}],
            "c.jsonl, line 2, field `passage_id`: is missing",
        ),
        (
            [{"text": "a"}, {"text": "b", "passage_id": 5}],
            "c.jsonl, line 1, field `passage_id`: is missing",
        ),
        (
            [{"text": "a", "article_id": 1, "position": 0}, {"text": "b", "article_id": 1}],
            "c.jsonl, line 2, field `position`: is missing",
        ),
        (
            [{"text": t, "article_id": 1, "position": 3} for t in "ab"],
            "c.jsonl, line 2, field `position`: 3 of article '1' is taken by c.jsonl, line 1",
        ),
        ([], "corpus: is empty"),
    ],
)
def test_rows_that_contradict_each_other_are_named(
    tmp_path: Path, rows: list[object], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        order_records(_read(_lines(tmp_path, *rows)))
    assert caught.value.message.startswith(message)
