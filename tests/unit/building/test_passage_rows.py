"""Passages get ids, positions and rows that follow from the corpus alone."""

import pytest

from building.cutting import Cutter
from building.passages import cut_records, passage_table
from building.reading import order_records
from building.records import Origin, Passage, Record
from building.tokens import FastTokenCounter
from retrieval_core.errors import InvalidInput
from tests.unit.building.tiny_encoder import make_tokenizer

TOKENS = FastTokenCounter(make_tokenizer())


def _ignore(count: int) -> None:
    del count


def _record(line: int, text: str, **changes: object) -> Record:
    values: dict[str, object] = {"article_id": "a", "lane": "default", **changes}
    return Record(Origin("c.jsonl", f"line {line}"), text=text, **values)  # type: ignore[arg-type]


def _cut(*records: Record, max_tokens: int = 64) -> tuple[Passage, ...]:
    return cut_records(order_records(records), Cutter(TOKENS, 20), max_tokens, _ignore).passages


def test_rows_number_passages_and_positions_count_within_an_article() -> None:
    passages = _cut(
        _record(1, "First sentence. Second sentence."),
        _record(2, "Other one.", article_id="b"),
        _record(3, "Third sentence."),
    )
    assert [(p.passage_id, p.article_id, p.position, p.text) for p in passages] == [
        (0, "a", 0, "First sentence."),
        (1, "a", 1, "Second sentence."),
        (2, "a", 2, "Third sentence."),
        (3, "b", 0, "Other one."),
    ]


def test_stated_ids_and_positions_are_kept() -> None:
    passages = _cut(
        _record(1, "Late. Not cut at all, whatever its length.", passage_id=70, position=9),
        _record(2, "Early.", passage_id=80, position=4),
        _record(3, "Alone.", passage_id=3, article_id="b"),
        _record(4, "Beside.", passage_id=2, article_id="b"),
    )
    assert [(p.passage_id, p.position) for p in passages] == [(80, 4), (70, 9), (3, 0), (2, 1)]


def test_positions_are_only_an_order_where_texts_are_cut() -> None:
    passages = _cut(
        _record(1, "Later text.", position=30), _record(2, "First one. Then this.", position=10)
    )
    assert [(p.position, p.text) for p in passages] == [
        (0, "First one."),
        (1, "Then this."),
        (2, "Later text."),
    ]


def test_passages_longer_than_the_encoder_reads_are_counted() -> None:
    records = [_record(1, "abc " * 40, passage_id=1), _record(2, "abc", passage_id=2)]
    cut = cut_records(records, Cutter(TOKENS, 20), 64, _ignore)
    assert cut.truncated_count == 1


def test_a_text_without_a_word_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"line 2, field `text`: has no words"):
        _cut(_record(1, "One."), _record(2, "\u200b"))
    with pytest.raises(InvalidInput, match=r"line 1, field `text`: has no words"):
        _cut(_record(1, "\u200b", passage_id=1))


def test_a_corpus_of_such_files_is_empty() -> None:
    record = Record(Origin("a.txt"), "a.txt", "default", "\u200b")
    with pytest.raises(InvalidInput, match="corpus: is empty"):
        cut_records([record], Cutter(TOKENS, 20), 64, _ignore)


def test_the_table_has_a_row_a_passage() -> None:
    table = passage_table([Passage(5, "a", 1, "x", "Text.")])
    assert table.to_pylist() == [
        {"passage_id": 5, "article_id": "a", "position": 1, "lane": "x", "text": "Text."}
    ]
