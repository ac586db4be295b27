"""From which best cosine on an answer looks like a right one: the calibration of confidence.

A running service has no truth, but right answers have higher cosines than wrong ones. The threshold
is the cosine that a stated share of the right answers reach; the share of all queries that reach it
is then a proxy of quality which falls when the vectors get worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.hits_files import QueryHits
from retrieval_core.errors import InvalidInput

DEFAULT_SHARE = 0.9
RIGHT_WITHIN = 10
LEAST_RIGHT = 100


@dataclass(frozen=True, slots=True)
class Confidence:
    """A threshold for one task, and what it tells apart.

    `share_of_all` is the share of all queries that reach it; `right_above` and `right_below` are
    the shares of right answers (a relevant passage among the first ten) on its two sides, None
    where there are no queries.
    """

    task: str
    query_count: int
    cosine: float
    share_of_all: float
    right_above: float | None
    right_below: float | None


def calibrate(hits: Sequence[QueryHits], share: float = DEFAULT_SHARE) -> list[Confidence]:
    """One threshold a task: the cosine that `share` of its right answers reach.

    `hits` are those before the reranker, whose scores are cosines. InvalidInput for a task with
    fewer than 100 right answers: the tail of a small sample says nothing.
    """
    if not 0 < share <= 1:
        raise InvalidInput("share", f"is {share}, must be above 0 and at most 1")
    tasks = sorted({one.task for one in hits})
    return [
        _calibrate_task(task, [one for one in hits if one.task == task], share) for task in tasks
    ]


def _calibrate_task(task: str, hits: Sequence[QueryHits], share: float) -> Confidence:
    found = [one for one in hits if one.scores]
    right = sorted((one.scores[0] for one in found if is_right(one)), reverse=True)
    if len(right) < LEAST_RIGHT:
        raise InvalidInput(
            "hits", f"{task or 'they'} have {len(right)} right answers, at least {LEAST_RIGHT}"
        )
    cosine = right[max(0, round(share * len(right)) - 1)]
    above = [one for one in found if one.scores[0] >= cosine]
    below = [one for one in found if one.scores[0] < cosine]
    return Confidence(
        task, len(hits), cosine, len(above) / len(hits), _right_share(above), _right_share(below)
    )


def is_right(hits: QueryHits) -> bool:
    """Whether a relevant passage is among the first ten."""
    return not set(hits.gold_ids).isdisjoint(hits.ids[:RIGHT_WITHIN])


def _right_share(hits: Sequence[QueryHits]) -> float | None:
    return sum(map(is_right, hits)) / len(hits) if hits else None
