"""Query sets come back as written; altered, broken or already trained on, they are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.querysets import (
    ContextItem,
    EvaluationQuery,
    QuerySet,
    QuerySetError,
    Task,
    check_clean,
    read_query_set,
    text_fingerprint,
    write_query_set,
)
from retrieval_core.errors import DamagedArtifact

QUESTIONS = QuerySet(
    "two questions",
    Task.QUESTION,
    "sha256:00",
    (
        EvaluationQuery("q1", "Rivers", (3,), text="Where does it\u2028end?"),
        EvaluationQuery("q2", "Hills", (7, 8), text="Wie hoch? \N{SNOWMAN}"),
    ),
)
NEXT = QuerySet(
    "one window",
    Task.NEXT_PASSAGE,
    "sha256:00",
    (
        EvaluationQuery(
            "w1", "Rivers", (3,), context=(ContextItem(1, "It rises."), ContextItem(2, "It runs."))
        ),
    ),
)


@pytest.mark.parametrize("query_set", [QUESTIONS, NEXT], ids=["questions", "next"])
def test_a_set_comes_back_as_written(query_set: QuerySet, tmp_path: Path) -> None:
    write_query_set(query_set, tmp_path / "set")
    assert read_query_set(tmp_path / "set") == query_set


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    write_query_set(QUESTIONS, tmp_path)
    with pytest.raises(FileExistsError):
        write_query_set(NEXT, tmp_path)


def test_one_changed_byte_is_noticed(tmp_path: Path) -> None:
    write_query_set(QUESTIONS, tmp_path)
    queries = tmp_path / "queries.jsonl"
    queries.write_bytes(queries.read_bytes().replace(b"q1", b"q7"))
    with pytest.raises(DamagedArtifact, match=r"queries\.jsonl"):
        read_query_set(tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedArtifact, match=r"queryset\.json"):
        read_query_set(tmp_path)
    write_query_set(QUESTIONS, tmp_path)
    (tmp_path / "queries.jsonl").unlink()
    with pytest.raises(DamagedArtifact, match=r"queries\.jsonl"):
        read_query_set(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("format", "retrieval-queryset/2"), ("count", 5), ("task", "guess"), ("files", {})],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path: Path, field: str, value: object) -> None:
    write_query_set(QUESTIONS, tmp_path)
    header = tmp_path / "queryset.json"
    fields = json.loads(header.read_text())
    header.write_text(json.dumps(fields | {field: value}))
    with pytest.raises(DamagedArtifact):
        read_query_set(tmp_path)


ITEM = ContextItem(1, "a")


@pytest.mark.parametrize(
    ("task", "query", "message"),
    [
        (Task.QUESTION, EvaluationQuery("q", "A", (), text="x"), "no relevant"),
        (Task.QUESTION, EvaluationQuery("q", "A", (1,), text=" "), "has a text"),
        (Task.QUESTION, EvaluationQuery("q", "A", (2,), text="x", context=(ITEM,)), "no context"),
        (Task.NEXT_PASSAGE, EvaluationQuery("q", "A", (2,)), "1 to 5"),
        (Task.NEXT_PASSAGE, EvaluationQuery("q", "A", (2,), context=(ITEM,) * 6), "1 to 5"),
        (Task.NEXT_PASSAGE, EvaluationQuery("q", "A", (1,), context=(ITEM,)), "in its context"),
    ],
)
def test_queries_keep_the_rules_of_their_task(
    task: Task, query: EvaluationQuery, message: str
) -> None:
    with pytest.raises(QuerySetError, match=message):
        QuerySet("set", task, "", (query,))


def test_ids_are_unique_and_sets_not_empty() -> None:
    query = EvaluationQuery("q", "A", (1,), text="x")
    with pytest.raises(QuerySetError, match="twice"):
        QuerySet("set", Task.QUESTION, "", (query, query))
    with pytest.raises(QuerySetError, match="no queries"):
        QuerySet("set", Task.QUESTION, "", ())


def test_an_article_seen_in_training_is_refused() -> None:
    check_clean(QUESTIONS, ["gold"], {"Lakes"}, set())
    with pytest.raises(QuerySetError, match=r"1 articles.*Hills"):
        check_clean(QUESTIONS, ["gold"], {"Hills", "Lakes"}, set())


def test_a_text_seen_in_training_is_refused_in_any_spelling() -> None:
    seen = {text_fingerprint("IT  runs.\n")}
    with pytest.raises(QuerySetError, match="1 texts"):
        check_clean(NEXT, ["gold"], set(), seen)
    with pytest.raises(QuerySetError, match="1 texts"):
        check_clean(QUESTIONS, ["it runs."], set(), seen)
