"""Hits files: one JSON object a line with query id, gold id, ranked ids and scores.

{"query_id", "gold_id" (or "gold_ids" where several passages are relevant), "ids", "scores"}, and as
far as known "task" and "article_id". What is not known here is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.json_values import to_line
from evaluation.measures import RankedRelevance, judge_rankings
from evaluation.rankings import DEPTH, Asked, Stage
from releases.durable import write_bytes_durably
from retrieval_core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class QueryHits:
    """The ranking of one query, best first; `task` and `article_id` are empty where unknown."""

    query_id: str
    gold_ids: tuple[int, ...]
    ids: tuple[int, ...]
    scores: tuple[float, ...]
    task: str = ""
    article_id: str = ""


def hits_of(asked: Asked, stage: Stage) -> list[QueryHits]:
    """The rankings of one stage; query ids carry the set's name, to stay unique across sets."""
    return [
        QueryHits(
            query_id=f"{asked.query_set.name}/{outcome.query.query_id}",
            gold_ids=outcome.query.gold_ids,
            ids=outcome.stage(stage).ids,
            scores=outcome.stage(stage).scores,
            task=asked.query_set.task.value,
            article_id=outcome.query.article_id,
        )
        for outcome in asked.outcomes
    ]


def write_hits(hits: Iterable[QueryHits], path: Path) -> None:
    """Write the file in one step, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_durably(path, "".join(to_line(_fields(each)) for each in hits).encode())


def read_hits(path: Path) -> list[QueryHits]:
    """All lines. InvalidInput names the file or the line that is not like that."""
    try:
        content = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("hits", f"{path}: cannot be read ({error})") from error
    lines = content.removesuffix("\n").split("\n")
    hits = [
        _parse_line(f"{path}, line {number}", line)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not hits:
        raise InvalidInput("hits", f"{path}: holds no queries")
    if len({each.query_id for each in hits}) != len(hits):
        raise InvalidInput("hits", f"{path}: a query id occurs twice")
    return hits


def judge_hits(hits: Sequence[QueryHits], depth: int = DEPTH) -> RankedRelevance:
    """What was relevant where, for the measures."""
    return judge_rankings(
        [each.ids for each in hits], [each.gold_ids for each in hits], depth=depth
    )


def _fields(hits: QueryHits) -> dict[str, Any]:
    golds: dict[str, Any] = {"gold_id": hits.gold_ids[0]}
    if len(hits.gold_ids) > 1:
        golds["gold_ids"] = hits.gold_ids
    return {
        "query_id": hits.query_id,
        **golds,
        "ids": hits.ids,
        "scores": hits.scores,
        "task": hits.task,
        "article_id": hits.article_id,
    }


def _parse_line(place: str, line: str) -> QueryHits:
    try:
        fields = json.loads(line)
        golds = fields["gold_ids"] if "gold_ids" in fields else [fields["gold_id"]]
        hits = QueryHits(
            query_id=str(fields["query_id"]),
            gold_ids=tuple(int(gold) for gold in golds),
            ids=tuple(int(passage_id) for passage_id in fields["ids"]),
            scores=tuple(float(score) for score in fields["scores"]),
            task=str(fields.get("task", "")),
            article_id=str(fields.get("article_id", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("hits", f"{place}: is not the hits of a query ({error!r})") from error
    _check(place, hits)
    return hits


def _check(place: str, hits: QueryHits) -> None:
    if not hits.gold_ids:
        raise InvalidInput("hits", f"{place}: has no gold id")
    if len(hits.scores) != len(hits.ids):
        raise InvalidInput("hits", f"{place}: {len(hits.ids)} ids, {len(hits.scores)} scores")
    if len(set(hits.ids)) != len(hits.ids):
        raise InvalidInput("hits", f"{place}: ranks a passage twice")
