"""Query sets made of a release: questions find their passages, windows exclude what they hold."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from evaluation.corpora import Paragraph, read_paragraphs, write_paragraph_corpus
from evaluation.making import Selection, align_paragraphs, make_questions, make_windows
from evaluation.overlap import make_training_record
from evaluation.querysets import QuerySetError, Task
from evaluation.release_passages import ReleasePassages
from evaluation.split import article_part
from releases.passages import PASSAGE_SCHEMA
from retrieval_core.errors import FailedPrecondition, InvalidInput

ARTICLES = ("Bread", "Chess", "Stars", "Sailing", "Gardens", "Bicycles", "Tides", "Clocks")
PARAGRAPHS = [
    Paragraph(
        str(number),
        title,
        position,
        f"First of {title} {position}. Second of {title} {position}.",
        (f"What of {title} {position}?", f"Why {title} {position}?"),
    )
    for number, title in enumerate(ARTICLES)
    for position in range(4)
]


def _passages(paragraphs: list[Paragraph]) -> ReleasePassages:
    """Each paragraph cut at its first sentence; ids count down so that they are no rows."""
    rows: list[tuple[int, str, int, str, str]] = []
    for paragraph in paragraphs:
        cut = paragraph.text.index(".") + 1
        for offset, text in enumerate((paragraph.text[:cut], paragraph.text[cut:].strip())):
            position = 2 * paragraph.position + offset
            rows.append((1000 - len(rows), paragraph.article_id, position, "a", text))
    columns = zip(PASSAGE_SCHEMA.names, zip(*rows, strict=True), strict=True)
    return ReleasePassages(
        "sha256:corpus", pa.table({k: list(v) for k, v in columns}, schema=PASSAGE_SCHEMA)
    )


PASSAGES = _passages(PARAGRAPHS)
ALL = Selection("all", None, 0)


def test_every_paragraph_is_aligned_with_the_passages_it_became() -> None:
    aligned = align_paragraphs(PARAGRAPHS, PASSAGES)
    for paragraph, ids in zip(PARAGRAPHS, aligned, strict=True):
        texts = [PASSAGES.texts[row] for row in PASSAGES.rows_of(ids)]
        assert " ".join(texts) == paragraph.text


def test_a_release_of_other_texts_is_refused_by_name() -> None:
    other = [*PARAGRAPHS[:5], Paragraph("1", "Chess", 1, "Something else."), *PARAGRAPHS[6:]]
    with pytest.raises(InvalidInput, match="'Chess', position 1"):
        align_paragraphs(other, PASSAGES)


def test_an_article_that_the_release_lacks_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Unknown"):
        align_paragraphs([Paragraph("99", "Unknown", 0, "Text.")], PASSAGES)


def test_questions_name_all_passages_of_their_paragraph() -> None:
    made = make_questions(PARAGRAPHS, PASSAGES, ALL).query_set
    assert made.task is Task.QUESTION
    assert len(made.queries) == 2 * len(PARAGRAPHS)
    assert made.queries[0].text == "What of Bread 0?"
    assert made.queries[0].gold_ids == (1000, 999)
    assert made.queries[0].article_id == "Bread"


def test_only_articles_of_the_part_are_asked_about() -> None:
    parts = {article_part(title) for title in ARTICLES}
    for part in parts:
        made = make_questions(PARAGRAPHS, PASSAGES, Selection("part", part, 0)).query_set
        assert {article_part(query.article_id) for query in made.queries} == {part}


def test_windows_hold_up_to_five_passages_before_and_never_their_answer() -> None:
    titles = {paragraph.article_id: paragraph.title for paragraph in PARAGRAPHS}
    made = make_windows(PASSAGES, ALL, titles).query_set
    assert len(made.queries) == len(ARTICLES) * 7
    assert [len(query.context) for query in made.queries[:7]] == [1, 2, 3, 4, 5, 5, 5]
    for query in made.queries:
        ids = [item.passage_id for item in query.context]
        assert query.gold_ids == (min(ids) - 1,)  # ids count down
        assert ids == sorted(ids, reverse=True)
        assert query.article_id in ARTICLES


def test_what_training_knows_is_left_out() -> None:
    record = make_training_record("some", ["Chess"], [PARAGRAPHS[0].text[:17], "Unrelated."])
    made = make_questions(PARAGRAPHS, PASSAGES, Selection("clean", None, 0, record))
    assert made.known_count == 8 + 2
    assert not {query.article_id for query in made.query_set.queries} & {"Chess"}


def test_a_sample_is_stable_and_keeps_the_order() -> None:
    few = make_questions(PARAGRAPHS, PASSAGES, Selection("few", None, 10)).query_set.queries
    more = make_questions(PARAGRAPHS, PASSAGES, Selection("more", None, 20)).query_set.queries
    every = [q.query_id for q in make_questions(PARAGRAPHS, PASSAGES, ALL).query_set.queries]
    assert len(few) == 10
    assert {query.query_id for query in few} < {query.query_id for query in more}
    assert [query.query_id for query in few] == [
        query_id for query_id in every if query_id in {query.query_id for query in few}
    ]


def test_no_query_at_all_is_an_error() -> None:
    record = make_training_record("everything", ARTICLES, [])
    with pytest.raises(QuerySetError, match="no query is left"):
        make_windows(
            PASSAGES,
            Selection("none", None, 0, record),
            {paragraph.article_id: paragraph.title for paragraph in PARAGRAPHS},
        )


def test_a_set_for_another_corpus_is_refused() -> None:
    made = make_questions(PARAGRAPHS, PASSAGES, ALL).query_set
    with pytest.raises(FailedPrecondition, match="sha256:other"):
        ReleasePassages("sha256:other", PASSAGES.table).check_fits(made)


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_a_corpus_of_whole_paragraphs_states_its_passage_ids(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert write_paragraph_corpus(PARAGRAPHS, path) == len(PARAGRAPHS)
    content = path.read_bytes()
    lines = (gzip.decompress(content) if name.endswith("gz") else content).decode().splitlines()
    first = json.loads(lines[0])
    assert first == {
        "passage_id": 0,
        "article_id": "Bread",
        "position": 0,
        "text": PARAGRAPHS[0].text,
    }
    assert [paragraph.title for paragraph in read_paragraphs(path)] == [
        paragraph.title for paragraph in PARAGRAPHS
    ]


@pytest.mark.parametrize("line", ["{}", "[]", "no", '{"article": "A", "text": "t"}'])
def test_a_line_that_is_no_paragraph_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"article": "A", "position": 0, "text": "t"}\n' + line + "\n")
    with pytest.raises(InvalidInput, match="line 2"):
        read_paragraphs(path)
