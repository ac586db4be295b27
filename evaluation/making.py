"""Makes query sets for a release: questions answered by passages, and windows before a passage."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evaluation.corpora import Paragraph
from evaluation.overlap import TrainingRecord
from evaluation.querysets import (
    MAX_CONTEXT_ITEMS,
    ContextItem,
    EvaluationQuery,
    QuerySet,
    QuerySetError,
    Task,
)
from evaluation.release_passages import ReleasePassages
from evaluation.split import Part, article_part
from retrieval_core.errors import InvalidInput

SENTENCE_WORDS = 24
LEAST_SENTENCE_WORDS = 4
_SENTENCE_ENDS = (".", "?", "!")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which queries are kept: of articles of `part` (None: of all), at most `limit` (0: all).

    Queries whose relevant or context passage `trained_on` knows are left out.
    """

    name: str
    part: Part | None = "evaluation"
    limit: int = 2000
    trained_on: TrainingRecord | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A query set, and how many queries were left out because training knows their texts."""

    query_set: QuerySet
    known_count: int


def make_questions(
    paragraphs: Sequence[Paragraph], passages: ReleasePassages, selection: Selection
) -> Made:
    """Every question of the corpus file, answered by all passages that its paragraph became.

    InvalidInput where the release was not built from these paragraphs.
    """
    answers = align_paragraphs(paragraphs, passages)
    queries = [
        EvaluationQuery(
            query_id=f"{paragraph.title}#{paragraph.position}?{number}",
            article_id=paragraph.title,
            gold_ids=gold_ids,
            text=question,
        )
        for paragraph, gold_ids in zip(paragraphs, answers, strict=True)
        if selection.part in (None, paragraph.part)
        for number, question in enumerate(paragraph.questions)
        if question.strip()
    ]
    return _select(Task.QUESTION, queries, passages, selection)


def make_windows(
    passages: ReleasePassages,
    selection: Selection,
    titles: Mapping[str, str] | None = None,
    context_items: int = MAX_CONTEXT_ITEMS,
) -> Made:
    """Every passage but an article's first, asked for by the up to `context_items` before it.

    titles: by article id, where the release's articles are called otherwise than the split.
    """
    named = titles or {}
    queries = [
        query
        for article_id, rows in _articles(passages).items()
        if selection.part in (None, article_part(named.get(article_id, article_id)))
        for query in _windows(rows, named.get(article_id, article_id), passages, context_items)
    ]
    return _select(Task.NEXT_PASSAGE, queries, passages, selection)


def make_known_items(passages: ReleasePassages, selection: Selection) -> Made:
    """Passages asked for by their own first sentence: what a corpus without questions offers.

    A heading line is no part of the sentence. What stands in several articles asks for nothing in
    particular and is left out; several passages of one article are all relevant.
    """
    askers: dict[str, list[int]] = {}
    for row, text in enumerate(passages.texts):
        if sentence := opening_sentence(text):
            askers.setdefault(sentence, []).append(row)
    queries = [
        EvaluationQuery(
            query_id=f"{passages.article_ids[rows[0]]}#{passages.positions[rows[0]]}",
            article_id=passages.article_ids[rows[0]],
            gold_ids=tuple(int(passages.ids[row]) for row in rows),
            text=sentence,
        )
        for sentence, rows in askers.items()
        if len({passages.article_ids[row] for row in rows}) == 1
        and selection.part in (None, article_part(passages.article_ids[rows[0]]))
    ]
    return _select(Task.QUESTION, queries, passages, selection)


def opening_sentence(text: str) -> str:
    """The first sentence after any heading, at most SENTENCE_WORDS long; empty if too short."""
    heading, _, rest = text.strip().partition("\n")
    body = text if not rest.strip() or heading.rstrip().endswith(_SENTENCE_ENDS) else rest
    words: list[str] = []
    for word in body.split()[:SENTENCE_WORDS]:
        words.append(word)
        if word.endswith(_SENTENCE_ENDS):
            break
    return " ".join(words) if len(words) >= LEAST_SENTENCE_WORDS else ""


def align_paragraphs(
    paragraphs: Sequence[Paragraph], passages: ReleasePassages
) -> list[tuple[int, ...]]:
    """For each paragraph the ids of the passages that it was cut into, in order.

    Texts are compared without white space, which is all that a build changes. InvalidInput names
    the first paragraph that is not in the release as a whole.
    """
    articles = _articles(passages)
    places: dict[str, int] = {}
    found: dict[int, tuple[int, ...]] = {}
    for number in _in_article_order(paragraphs):
        paragraph = paragraphs[number]
        key = paragraph.article_id if paragraph.article_id in articles else paragraph.title
        rows = articles.get(key, [])
        start = places.get(key, 0)
        end = _end_of(paragraph, rows, start, passages)
        places[key] = end
        found[number] = tuple(int(passages.ids[row]) for row in rows[start:end])
    return [found[number] for number in range(len(paragraphs))]


def _in_article_order(paragraphs: Sequence[Paragraph]) -> list[int]:
    return sorted(
        range(len(paragraphs)),
        key=lambda number: (paragraphs[number].article_id, paragraphs[number].position),
    )


def _articles(passages: ReleasePassages) -> dict[str, list[int]]:
    """Rows by article, each article's in the order of positions."""
    articles: dict[str, list[int]] = {}
    for row, article_id in enumerate(passages.article_ids):
        articles.setdefault(article_id, []).append(row)
    for rows in articles.values():
        rows.sort(key=passages.positions.__getitem__)
    return articles


def _end_of(
    paragraph: Paragraph, rows: Sequence[int], start: int, passages: ReleasePassages
) -> int:
    wanted = _squashed(paragraph.text)
    held = ""
    end = start
    while len(held) < len(wanted) and end < len(rows):
        held += _squashed(passages.texts[rows[end]])
        end += 1
    if held != wanted:
        raise InvalidInput(
            "corpus",
            f"article {paragraph.title!r}, position {paragraph.position}: the release was not "
            "built from this text",
        )
    return end


def _squashed(text: str) -> str:
    return "".join(text.split())


def _windows(
    rows: Sequence[int], title: str, passages: ReleasePassages, context_items: int
) -> Iterator[EvaluationQuery]:
    for place in range(1, len(rows)):
        before = rows[max(0, place - context_items) : place]
        yield EvaluationQuery(
            query_id=f"{title}#{passages.positions[rows[place]]}",
            article_id=title,
            gold_ids=(int(passages.ids[rows[place]]),),
            context=tuple(
                ContextItem(int(passages.ids[row]), passages.texts[row]) for row in before
            ),
        )


def _select(
    task: Task, queries: list[EvaluationQuery], passages: ReleasePassages, selection: Selection
) -> Made:
    unknown = _without_known(queries, passages, selection.trained_on)
    if not unknown:
        raise QuerySetError(f"{selection.name}: no query is left of {len(queries)}")
    chosen = _sample(unknown, selection.limit)
    query_set = QuerySet(selection.name, task, passages.digest, tuple(chosen))
    return Made(query_set, len(queries) - len(unknown))


def _without_known(
    queries: list[EvaluationQuery], passages: ReleasePassages, record: TrainingRecord | None
) -> list[EvaluationQuery]:
    if record is None:
        return queries
    knows = functools.cache(record.knows)

    def is_known(query: EvaluationQuery) -> bool:
        texts = [passages.texts[row] for row in passages.rows_of(query.gold_ids)]
        texts += [item.text for item in query.context]
        return query.article_id in record.articles or any(knows(text) for text in texts)

    return [query for query in queries if not is_known(query)]


def _sample(queries: list[EvaluationQuery], limit: int) -> list[EvaluationQuery]:
    """A fixed sample, in file order: the same queries whatever else the corpus holds."""
    if not limit or len(queries) <= limit:
        return queries
    ranked = sorted(queries, key=lambda query: hashlib.sha256(query.query_id.encode()).digest())
    chosen = {query.query_id for query in ranked[:limit]}
    return [query for query in queries if query.query_id in chosen]
