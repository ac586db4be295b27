"""Evaluation tasks hold unseen articles only, and their owners point to the right passages."""

from __future__ import annotations

from training.encoder.corpus import Paragraph
from training.encoder.tasks import SMALL_CORPUS, NamedPassage, documentation_tasks, question_tasks


def many_paragraphs() -> list[Paragraph]:
    return [
        Paragraph(
            f"Title {article}",
            position,
            f"text {article} {position}",
            (f"question {article} {position}?",),
        )
        for article in range(300)
        for position in range(10)
    ]


def test_only_evaluation_questions_are_asked() -> None:
    paragraphs = many_paragraphs()
    unseen = {q for p in paragraphs if p.part == "evaluation" for q in p.questions}
    small, whole = question_tasks(paragraphs)
    assert set(small.queries) == set(whole.queries) == unseen
    assert len(small.passages) == SMALL_CORPUS
    assert len(whole.passages) == len(paragraphs)


def test_owners_point_to_the_paragraph_of_the_question() -> None:
    for task in question_tasks(many_paragraphs()):
        for query, owner in zip(task.queries, task.owners, strict=True):
            assert task.passages[owner] == query.removesuffix("?").replace("question", "text")


def test_documentation_tasks_take_the_summary_out_of_the_hard_one() -> None:
    long_rest = " ".join(f"word{number}" for number in range(20))
    named = [
        NamedPassage("m.f", f"m.f(x)\nDoes\nit.\n\n{long_rest}"),
        NamedPassage("m.g", "m.g()\nDoes that."),
    ]
    names, summaries, hard = documentation_tasks(named)
    assert names.queries == ["m.f", "m.g"]
    assert summaries.queries == ["Does it.", "Does that."]
    assert hard.queries == ["Does it."]
    assert hard.passages == [f"m.f(x)\n{long_rest}"]
    assert hard.owners.tolist() == [0]
