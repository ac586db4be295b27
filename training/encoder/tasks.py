"""What a system is measured on: questions of unseen articles, and unseen documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from training.encoder.corpus import Paragraph, paragraphs_of, question_owners
from training.encoder.measures import Ranks

SMALL_CORPUS = 2000


@dataclass(frozen=True)
class Task:
    """Queries, passages, and the row of the right passage of each query."""

    name: str
    queries: Sequence[str]
    passages: Sequence[str]
    owners: Ranks

    @property
    def title(self) -> str:
        """The name with the sizes."""
        return f"{self.name} ({len(self.queries):,} queries, {len(self.passages):,} passages)"


@dataclass(frozen=True)
class NamedPassage:
    """A documented name and its passage: a header line, then the documentation."""

    name: str
    passage: str

    @property
    def summary(self) -> str:
        """The first paragraph of the documentation on one line."""
        documentation = self.passage.partition("\n")[2].strip()
        return " ".join(documentation.partition("\n\n")[0].split())

    @property
    def remainder(self) -> str:
        """The passage without the summary; empty where the summary is all there is."""
        header, _, documentation = self.passage.partition("\n")
        rest = documentation.strip().partition("\n\n")[2].strip()
        return f"{header}\n{rest}" if rest else ""


def question_tasks(paragraphs: Sequence[Paragraph]) -> list[Task]:
    """Evaluation questions to their paragraphs, among few passages and among all."""
    evaluation = paragraphs_of(paragraphs, "evaluation")
    others = [p for p in paragraphs if p.part != "evaluation"]
    spread = np.linspace(0, max(len(others) - 1, 0), max(0, SMALL_CORPUS - len(evaluation)))
    few = [others[int(index)] for index in spread]
    questions, owners = question_owners(evaluation)
    return [
        Task(name, questions, [p.text for p in (*evaluation, *rest)], np.array(owners))
        for name, rest in (("questions, small corpus", few), ("questions, whole corpus", others))
    ]


def documentation_tasks(named: Iterable[NamedPassage]) -> list[Task]:
    """Names and summary lines to passages of documentation that no model here was trained on.

    Three tasks: name to passage as the demo stores it (the name stands in its header), summary
    to the same passages, and, harder, summary to passages that have lost their summary.
    """
    everything = list(named)
    rows = np.arange(len(everything))
    longer = [item for item in everything if len(item.remainder.split()) >= 12]
    return [
        Task("name, documentation", [n.name for n in everything], _passages(everything), rows),
        Task(
            "summary, documentation", [n.summary for n in everything], _passages(everything), rows
        ),
        Task(
            "summary, documentation without summaries",
            [n.summary for n in longer],
            [n.remainder for n in longer],
            np.arange(len(longer)),
        ),
    ]


def _passages(named: Sequence[NamedPassage]) -> list[str]:
    return [item.passage for item in named]
