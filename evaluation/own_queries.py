"""Query sets that a release can make of its own passages, for a corpus that nobody labelled.

They need no judgement: the passage that follows is the answer to a context, and a passage is the
answer to its own first sentence. The latter is easy on purpose and says more about the machinery
and about drift than about real questions; docs/evaluation.md says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from evaluation.gates import LEAST_ARTICLES, LEAST_QUERIES
from evaluation.making import Made, Selection, make_known_items, make_windows
from evaluation.overlap import TrainingRecord
from evaluation.querysets import QuerySet, QuerySetError, publish_query_set
from evaluation.release_passages import ReleasePassages

OWN_SET_LIMIT = 1000
NEXT_PASSAGES = "own_next_passages"
KNOWN_ITEMS = "own_known_items"

_DIGEST_CHARACTERS = 12


def make_own_sets(
    passages: ReleasePassages, record: TrainingRecord | None, folder: Path
) -> list[QuerySet]:
    """Write what can be made under `folder`, named after the corpus; returns the sets.

    QuerySetError where the passages allow none, such as articles of one passage each without a
    sentence.
    """
    prefix = passages.digest.removeprefix("sha256:")[:_DIGEST_CHARACTERS]
    makers: dict[str, Callable[[ReleasePassages, Selection], Made]] = {
        NEXT_PASSAGES: make_windows,
        KNOWN_ITEMS: make_known_items,
    }
    found = []
    for name, make in makers.items():
        query_set = _make(make, passages, Selection(name, limit=OWN_SET_LIMIT, trained_on=record))
        if query_set is not None:
            publish_query_set(query_set, folder / f"{prefix}-{name}")
            found.append(query_set)
    if not found:
        raise QuerySetError("no query can be made of the release's own passages")
    return found


def _make(
    make: Callable[[ReleasePassages, Selection], Made],
    passages: ReleasePassages,
    selection: Selection,
) -> QuerySet | None:
    """Of the evaluation's articles, or of all where those are too few to say anything."""
    made = None
    for part in (selection.part, None):
        try:
            made = make(passages, replace(selection, part=part)).query_set
        except QuerySetError:
            continue
        if _is_enough(made):
            return made
    return made


def _is_enough(query_set: QuerySet) -> bool:
    articles = {query.article_id for query in query_set.queries}
    return len(query_set.queries) >= LEAST_QUERIES and len(articles) >= LEAST_ARTICLES
