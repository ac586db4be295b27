from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks.load.queries import (
    MAX_WORDS,
    LoadQuery,
    PassageTexts,
    contexts,
    mixed,
    parse_mix,
    question_of,
    questions,
    read_passages,
    varied,
)
from retrieval_client import Query

PASSAGES = PassageTexts(
    passage_ids=list(range(100, 110)),
    article_ids=["a"] * 5 + ["b"] * 2 + ["c"] * 3,
    texts=[f"Passage number {number} speaks. And goes on." for number in range(10)],
)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Read rows of a file. Then more.", "Read rows of a file."),
        ("csv.reader\nRead rows of a file\nmore", "Read rows of a file"),
        ("short", "short"),
        ("csv.reader(a, b, *, c)\n\nRead rows of a file. More.", "Read rows of a file."),
        ("A first sentence.\n\nAnother paragraph.", "A first sentence."),
        (" ".join(str(number) for number in range(40)), " ".join(str(n) for n in range(MAX_WORDS))),
    ],
)
def test_a_question_is_the_first_real_sentence_cut_short(text: str, question: str) -> None:
    assert question_of(text) == question


def test_questions_are_different_and_their_choice_is_seeded() -> None:
    found = questions(PASSAGES, 6, seed=1)
    assert len(set(found)) == 6
    assert found == questions(PASSAGES, 6, seed=1)
    assert found != questions(PASSAGES, 6, seed=2)


def test_every_fourth_question_is_a_name() -> None:
    texts = [f"pack.part{number}(a, b)\n\nDo the thing number {number}." for number in range(8)]
    passages = PassageTexts(list(range(8)), ["pack"] * 8, texts)
    kinds = [question.startswith("pack.part") for question in questions(passages, 8, seed=1)]
    assert kinds == [True, False, False, False] * 2


def test_there_are_no_more_questions_than_different_passages() -> None:
    # Of the 10 texts three are asked by their first word, which is the same.
    assert len(questions(PASSAGES, 50, seed=1)) == 8


def test_a_context_is_three_consecutive_passages_of_one_article_that_goes_on() -> None:
    found = contexts(PASSAGES, 50, seed=1)
    # Article a of 5 passages has a next one after rows 0-2 and 1-3; b and c have too few.
    ids = sorted(tuple(query.excluded_passage_ids) for query in found)
    assert ids == [(100, 101, 102), (101, 102, 103)]
    assert all(len(query.context or ()) == 3 for query in found)


def test_a_mix_has_its_shares_evenly_spread_and_holds_every_query() -> None:
    texts = [Query(text=str(number)) for number in range(6)]
    other = [Query(vector=[1.0])]
    load = mixed({"text": texts, "vector": other}, {"text": 3, "vector": 1})
    assert Counter(item.kind for item in load) == {"text": 6, "vector": 2}
    assert {item.query.text for item in load if item.kind == "text"} == {str(n) for n in range(6)}
    assert [item.kind for item in load[:4]].count("vector") == 1


def test_a_variation_changes_every_text_and_nothing_else() -> None:
    text = LoadQuery("text", Query(text="a", limit=3))
    assert varied(text, 0) is text
    assert varied(text, 2).query.text == "a 2"
    assert varied(text, 2).query.limit == 3
    vector = LoadQuery("vector", Query(vector=[1.0]))
    assert varied(vector, 2) is vector
    context = LoadQuery("context", Query(context=["a", [1.0]], excluded_passage_ids=[4]))
    assert varied(context, 2).query.context == ["a 2", [1.0]]
    assert varied(context, 2).query.excluded_passage_ids == [4]


def test_a_kind_without_queries_is_an_error_and_not_a_silent_other_mix() -> None:
    with pytest.raises(ValueError, match="context"):
        mixed({"text": [Query(text="a")]}, {"text": 1, "context": 1})
    with pytest.raises(ValueError, match="weight 0"):
        mixed({"text": [Query(text="a")]}, {"text": 0})


def test_a_mix_is_written_as_kinds_and_weights() -> None:
    assert parse_mix("text=8, context=1,vector") == {"text": 8, "context": 1, "vector": 1}
    for wrong in ("texts=1", "text=x", ""):
        with pytest.raises(ValueError, match="KIND=WEIGHT"):
            parse_mix(wrong)


def test_passages_are_read_from_the_release(tmp_path: Path) -> None:
    table = pa.table({"passage_id": [3], "article_id": ["a"], "text": ["Hello there you."]})
    path = str(tmp_path / "passages.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert read_passages(tmp_path) == PassageTexts([3], ["a"], ["Hello there you."])
