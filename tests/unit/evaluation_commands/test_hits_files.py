"""Hits files are read as they were written, and nothing else passes for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.hits_files import QueryHits, read_hits, write_hits
from retrieval_core.errors import InvalidInput

ONE = QueryHits("set/a", (3,), (3, 1), (0.5, 0.25), "question", "Bread")
TWO = QueryHits("set/b", (1, 9), (), (), "next_passage", "Chess\u2028")


def test_hits_survive_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "new" / "hits.jsonl"
    write_hits([ONE, TWO], path)
    assert read_hits(path) == [ONE, TWO]
    first = json.loads(path.read_text("utf-8").split("\n")[0])
    assert (first["query_id"], first["gold_id"], first["ids"]) == ("set/a", 3, [3, 1])
    assert first["scores"] == [0.5, 0.25]


def test_only_the_four_columns_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "hits.jsonl"
    path.write_text('{"query_id": 7, "gold_id": 2, "ids": [2], "scores": [1]}\n\n')
    assert read_hits(path) == [QueryHits("7", (2,), (2,), (1.0,))]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{}", "gold_id"),
        ("[1]", "not the hits"),
        ("nonsense", "not the hits"),
        ('{"query_id": "x", "gold_ids": [], "ids": [], "scores": []}', "no gold id"),
        ('{"query_id": "x", "gold_id": 1, "ids": [1], "scores": []}', "1 ids, 0 scores"),
        ('{"query_id": "x", "gold_id": 1, "ids": [1, 1], "scores": [1, 1]}', "twice"),
        ('{"query_id": "x", "gold_id": "y", "ids": [1], "scores": [1]}', "not the hits"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "hits.jsonl"
    path.write_text('{"query_id": "ok", "gold_id": 1, "ids": [], "scores": []}\n' + line + "\n")
    with pytest.raises(InvalidInput, match="line 2") as refused:
        read_hits(path)
    assert said in refused.value.message


def test_empty_and_repeated_queries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hits.jsonl"
    path.write_text("\n")
    with pytest.raises(InvalidInput, match="no queries"):
        read_hits(path)
    write_hits([ONE, ONE], path)
    with pytest.raises(InvalidInput, match="twice"):
        read_hits(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_hits(tmp_path / "absent.jsonl")
