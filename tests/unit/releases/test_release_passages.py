"""Passages come back from the mapped file as they were written, byte for byte the same file."""

from pathlib import Path

import pyarrow as pa
import pytest

from releases.passages import PASSAGE_SCHEMA, open_passages, write_passages
from retrieval_core.errors import DamagedArtifact


def _table() -> pa.Table:
    return pa.table(
        {
            "passage_id": [-(2**63), 2**63 - 1],
            "article_id": ["a", "漢字"],
            "position": [0, 1],
            "lane": ["x", "x"],
            "text": ["one\ntwo", "\U0001f600"],
        },
        schema=PASSAGE_SCHEMA,
    )


def test_passages_survive_the_file(tmp_path: Path) -> None:
    write_passages(_table(), tmp_path / "a.arrow")
    write_passages(_table(), tmp_path / "b.arrow")
    assert open_passages(tmp_path / "a.arrow").equals(_table())
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    path.write_bytes(b"nothing of that kind")
    with pytest.raises(DamagedArtifact, match="not an Arrow file"):
        open_passages(path)
    other = pa.table({"text": ["x"]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, other.schema) as writer:
        writer.write_table(other)
    with pytest.raises(DamagedArtifact, match="columns"):
        open_passages(path)
