"""The next-passage task asks with five paragraphs of an unseen article and leaves them out."""

from __future__ import annotations

import numpy as np

from training.encoder.corpus import Paragraph
from training.encoder.next_passage import (
    RULES,
    NextPassageTask,
    next_passage_task,
    next_ranks,
    windows,
)


def test_windows_are_whole_runs_of_six() -> None:
    contexts, owners = windows([1, 2, 3, 4, 5, 6, -1, 8, 9, -1])
    assert contexts.tolist() == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]
    assert owners.tolist() == [5, 6]


def test_no_article_is_long_enough() -> None:
    contexts, owners = windows([1, -1])
    assert contexts.shape == (0, 5)
    assert len(owners) == 0


def test_only_unseen_articles_ask_and_all_paragraphs_answer() -> None:
    paragraphs = [
        Paragraph(f"Title {article}", position, f"{article} {position}", ())
        for article in range(60)
        for position in range(7)
    ]
    unseen = {p.article for p in paragraphs if p.part == "evaluation"}
    task = next_passage_task(paragraphs)
    assert len(task.passages) == len(paragraphs)
    assert len(task.owners) == 2 * len(unseen)
    for context, owner in zip(task.contexts, task.owners, strict=True):
        *before, after = (task.passages[row].split() for row in (*context, owner))
        assert {article for article, _ in before} == {after[0]}
        assert [int(place) for _, place in before] == list(range(int(after[1]) - 5, int(after[1])))


def test_the_context_is_no_candidate_and_the_rule_decides() -> None:
    last, early = np.eye(3, dtype=np.float32)[:2]
    vectors = np.stack([early, early, early, early, last, 0.6 * last, 0.9 * early])
    task = NextPassageTask(["p"] * 7, np.array([[0, 1, 2, 3, 4]]), np.array([5]))
    assert next_ranks(vectors, task, RULES["last passage"]).tolist() == [0]
    assert next_ranks(vectors, task, (1.0, 1.0, 1.0, 1.0, 1.0)).tolist() == [1]
