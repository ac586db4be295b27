"""The next-passage task: which paragraph follows five of an unseen article, among all paragraphs.

The query is a fixed mean of the five vectors, as a caller without a query model would ask. The five
themselves are not among the candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.encoder.corpus import Paragraph, next_rows, paragraphs_of
from training.encoder.measures import Floats, Ranks, ranks_of_scores

CONTEXT = 5
# Weights of the passages, oldest first.
RULES: Mapping[str, tuple[float, ...]] = {
    "last passage": (0.0, 0.0, 0.0, 0.0, 1.0),
    "recency-weighted mean": (0.0625, 0.125, 0.25, 0.5, 1.0),
}
QUERIES_PER_BLOCK = 1024


@dataclass(frozen=True)
class NextPassageTask:
    """passages p; contexts [q, 5] rows of them, oldest first; owners [q] the row that follows."""

    passages: Sequence[str]
    contexts: Ranks
    owners: Ranks

    @property
    def title(self) -> str:
        """The task's name with its sizes."""
        return (
            f"next passage from {CONTEXT}, whole corpus "
            f"({len(self.owners):,} queries, {len(self.passages):,} passages)"
        )


def next_passage_task(paragraphs: Sequence[Paragraph]) -> NextPassageTask:
    """Every run of six paragraphs in a row of an evaluation article, among all paragraphs."""
    evaluation = paragraphs_of(paragraphs, "evaluation")
    others = [p for p in paragraphs if p.part != "evaluation"]
    contexts, owners = windows(next_rows(evaluation))
    return NextPassageTask([p.text for p in (*evaluation, *others)], contexts, owners)


def windows(following: Sequence[int]) -> tuple[Ranks, Ranks]:
    """contexts [q, 5] and owners [q] of all runs; following [n] is each row's next row or -1."""
    runs = []
    for row in range(len(following)):
        run = [row]
        while len(run) <= CONTEXT and following[run[-1]] >= 0:
            run.append(following[run[-1]])
        if len(run) > CONTEXT:
            runs.append(run)
    array = np.array(runs, dtype=np.int64).reshape(-1, CONTEXT + 1)
    return array[:, :CONTEXT], array[:, CONTEXT]


def next_ranks(vectors: Floats, task: NextPassageTask, weights: Sequence[float]) -> Ranks:
    """0-based rank of the next passage for the weighted mean of each context.

    vectors [p, d] are those of the task's passages, in their order.
    """
    weight = np.array(weights, dtype=np.float32)[None, :, None]
    ranks = np.empty(len(task.owners), dtype=np.int64)
    for start in range(0, len(ranks), QUERIES_PER_BLOCK):
        block = slice(start, start + QUERIES_PER_BLOCK)
        context = task.contexts[block]
        scores = _scores((vectors[context] * weight).sum(1), vectors)
        np.put_along_axis(scores, context, -np.inf, axis=1)
        ranks[block] = ranks_of_scores(scores, task.owners[block])
    return ranks


def _scores(queries: npt.NDArray[np.float32], vectors: Floats) -> Floats:
    scores: Floats = queries.astype(np.float32) @ vectors.T.astype(np.float32)
    return scores
