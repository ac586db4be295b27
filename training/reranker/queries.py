"""Queries to learn from and to be measured on: sampled questions and windows of articles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from encoder_svc.query_models import QueryModel
from rerank_svc.candidates import MAX_CONTEXT_ITEMS, QueryKind
from retrieval_core.vectors import Float32Matrix
from training.encoder.corpus import Paragraph
from training.reranker.lists import VectorQuery
from training.split import Part

Item = TypeVar("Item")

SEED = 11
SHORT_CONTEXT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the corpus row of the paragraph that answers it."""

    text: str
    gold: int


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of 1 to 5 consecutive paragraphs, oldest first, and the row of the one that follows."""

    context: tuple[int, ...]
    gold: int


def sample_questions(
    paragraphs: Sequence[Paragraph], limits: Mapping[Part, int]
) -> dict[Part, list[Question]]:
    """At most limits[part] questions a part, drawn evenly over all of the part's questions."""
    found: dict[Part, list[Question]] = {part: [] for part in limits}
    for row, paragraph in enumerate(paragraphs):
        if paragraph.part in found:
            found[paragraph.part].extend(Question(text, row) for text in paragraph.questions)
    return {part: _sample(found[part], limit) for part, limit in limits.items()}


def sample_windows(
    paragraphs: Sequence[Paragraph], limits: Mapping[Part, int]
) -> dict[Part, list[Window]]:
    """At most limits[part] windows a part.

    Each paragraph but an article's first ends one window of up to 5; some contexts are shortened,
    as callers send fewer passages too.
    """
    generator = np.random.default_rng(SEED)
    found: dict[Part, list[Window]] = {part: [] for part in limits}
    for gold, paragraph in enumerate(paragraphs):
        before = _rows_before(paragraphs, gold)
        if generator.random() < SHORT_CONTEXT_SHARE:
            before = before[-int(generator.integers(1, MAX_CONTEXT_ITEMS)) :]
        if before and paragraph.part in found:
            found[paragraph.part].append(Window(before, gold))
    return {part: _sample(found[part], limit) for part, limit in limits.items()}


def question_queries(
    questions: Sequence[Question], vectors: Float32Matrix, paragraphs: Sequence[Paragraph]
) -> list[VectorQuery]:
    """Questions with their vectors [n, 768]."""
    return [
        VectorQuery(
            kind=QueryKind.QUESTION,
            vector=vectors[number : number + 1],
            gold=question.gold,
            article=paragraphs[question.gold].article,
        )
        for number, question in enumerate(questions)
    ]


def window_queries(
    windows: Sequence[Window],
    vectors: Float32Matrix,
    paragraphs: Sequence[Paragraph],
    model: QueryModel,
) -> list[VectorQuery]:
    """Windows, asked with a query model; vectors [n, 768] of the corpus."""
    return [
        VectorQuery(
            kind=QueryKind.CONTEXT,
            vector=model.predict(vectors[list(window.context)]),
            gold=window.gold,
            article=paragraphs[window.gold].article,
            context=vectors[list(window.context)],
            excluded=window.context,
        )
        for window in windows
    ]


def _rows_before(paragraphs: Sequence[Paragraph], gold: int) -> tuple[int, ...]:
    rows: list[int] = []
    for row in range(gold - 1, max(gold - 1 - MAX_CONTEXT_ITEMS, -1), -1):
        same = paragraphs[row].article == paragraphs[gold].article
        if not same or paragraphs[row].position != paragraphs[gold].position - len(rows) - 1:
            break
        rows.append(row)
    return tuple(reversed(rows))


def _sample(items: list[Item], limit: int) -> list[Item]:
    if len(items) <= limit:
        return items
    chosen = np.random.default_rng(SEED).choice(len(items), limit, replace=False)
    return [items[number] for number in sorted(chosen.tolist())]
