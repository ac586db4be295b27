"""Passages read by row from a mapped Arrow file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from index_svc.passages import PassageTable
from releases.passages import PASSAGE_SCHEMA, ROWS_PER_BATCH, write_passages
from retrieval_core.articles import article_key
from retrieval_core.errors import DamagedArtifact


def table(count: int) -> pa.Table:
    rows = range(count)
    return pa.table(
        {
            "passage_id": [7 * row + 1 for row in rows],
            "article_id": [f"z{row % 3}" if row % 2 else f"ä{row % 5}" for row in rows],
            "position": [row % 11 for row in rows],
            "lane": ["second" if row % 4 else "first" for row in rows],
            # Empty, long and non-ASCII ones side by side.
            "text": ["" if row % 6 == 0 else f"{row} ☂ " * (row % 5) for row in rows],
        },
        schema=PASSAGE_SCHEMA,
    )


@pytest.mark.parametrize("count", [1, 5, ROWS_PER_BATCH, 2 * ROWS_PER_BATCH + 3])
def test_any_rows_come_back_in_the_order_asked(tmp_path: Path, count: int) -> None:
    written = table(count)
    write_passages(written, tmp_path / "passages.arrow")
    passages = PassageTable.open(tmp_path / "passages.arrow")
    assert len(passages) == count
    rows = np.append(np.random.default_rng(1).integers(0, count, 40), [0, count - 1])
    expected = written.take(rows).to_pydict()
    columns = passages.columns(rows)
    assert columns.article_ids == expected["article_id"]
    assert columns.lanes == expected["lane"]
    assert columns.texts == expected["text"]
    assert passages.passage_ids[rows].tolist() == expected["passage_id"]
    assert passages.positions[rows].tolist() == expected["position"]
    assert passages.article_keys[rows].tolist() == [
        article_key(name) for name in expected["article_id"]
    ]


def test_lanes_are_coded_by_name(tmp_path: Path) -> None:
    write_passages(table(9), tmp_path / "p")
    passages = PassageTable.open(tmp_path / "p")
    assert passages.lane_names == ["first", "second"]
    assert passages.lane_codes.tolist() == [0, 1, 1, 1, 0, 1, 1, 1, 0]


def test_a_file_without_passages_is_one_too(tmp_path: Path) -> None:
    write_passages(table(0), tmp_path / "p")
    passages = PassageTable.open(tmp_path / "p")
    assert len(passages) == 0
    assert passages.columns(np.empty(0, np.int64)).texts == []


def test_slices_of_a_table_keep_their_own_rows() -> None:
    whole = table(50)
    passages = PassageTable(whole.slice(13, 20))
    assert (
        passages.columns(np.array([0, 19])).texts
        == whole["text"].slice(13, 20).take([0, 19]).to_pylist()
    )


def test_what_is_not_utf8_is_refused(tmp_path: Path) -> None:
    write_passages(table(9), tmp_path / "p")
    content = (tmp_path / "p").read_bytes()
    assert content.count("☂".encode()) > 2
    (tmp_path / "p").write_bytes(content.replace("☂".encode(), b"\xff\xfe\xfd"))
    with pytest.raises(DamagedArtifact, match="UTF8"):
        PassageTable.open(tmp_path / "p")


def test_empty_places_are_refused(tmp_path: Path) -> None:
    batch = pa.record_batch(
        [
            pa.array([1, None], pa.int64()),
            *(table(2)[name].chunk(0) for name in PASSAGE_SCHEMA.names[1:]),
        ],
        schema=PASSAGE_SCHEMA,
    )
    with (
        pa.OSFile(str(tmp_path / "p"), "wb") as sink,
        pa.ipc.new_file(sink, PASSAGE_SCHEMA) as file,
    ):
        file.write_batch(batch)
    with pytest.raises(DamagedArtifact, match="passage_id"):
        PassageTable.open(tmp_path / "p")
