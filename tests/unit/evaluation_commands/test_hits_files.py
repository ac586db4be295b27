"""Hits files are read as they were written, and nothing else passes for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.hits_files import QueryHits, judge_hits, read_hits, write_hits
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
    "line",
    [
        {"qid": "x", "gold": "5", "ranked_ids": [7, "5"], "scores": [2, 1]},
        {"query_id": "x", "gold": [5], "passage_ids": [7, 5], "scores": [2.0, 1.0]},
        {
            "query_id": "x",
            "gold_id": 5,
            "gold_ids": [5],
            "ids": [7, 5],
            "scores": [2, 1],
            "more": 1,
        },
    ],
)
def test_other_spellings_say_the_same(tmp_path: Path, line: dict[str, object]) -> None:
    path = tmp_path / "hits.jsonl"
    path.write_text(json.dumps(line))
    assert read_hits(path) == [QueryHits("x", (5,), (7, 5), (2.0, 1.0))]


def test_passages_may_be_named_by_text(tmp_path: Path) -> None:
    path = tmp_path / "hits.jsonl"
    path.write_text('{"query_id": "x", "gold_id": "b", "ids": ["a", "b"], "scores": [2, 1]}')
    (hits,) = read_hits(path)
    assert hits.ids == ("a", "b")
    assert judge_hits([hits]).relevant[0].tolist()[:3] == [False, True, False]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{}", "`query_id` or `qid`"),
        ("[1]", "not a JSON object"),
        ("nonsense", "not JSON"),
        ('{"query_id": null, "gold_id": 1, "ids": [], "scores": []}', "`query_id`"),
        ('{"query_id": "x", "ids": [], "scores": []}', "`gold_id` or `gold_ids`"),
        ('{"query_id": "x", "gold_ids": [], "ids": [], "scores": []}', "no gold id"),
        ('{"query_id": "x", "gold_id": 1.5, "ids": [1], "scores": [1]}', "`gold_id`"),
        ('{"query_id": "x", "gold_id": 1, "ids": 1, "scores": []}', "`ids`"),
        ('{"query_id": "x", "gold_id": 1, "ids": [true], "scores": [1]}', "`ids`"),
        ('{"query_id": "x", "gold_id": 1, "ids": [1]}', "`scores`"),
        ('{"query_id": "x", "gold_id": 1, "ids": [1], "scores": [NaN]}', "`scores`"),
        ('{"query_id": "x", "gold_id": 1, "ids": [1], "scores": []}', "1 ids, but 0 `scores`"),
        ('{"query_id": "x", "gold_id": 1, "ids": [1, "1"], "scores": [1, 1]}', "twice"),
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
