"""Hits files: one JSON object a line with query id, gold id, ranked ids and scores.

{"query_id", "gold_id" (or "gold_ids" where several passages are relevant), "ids", "scores"}, and as
far as known "task" and "article_id". SPELLINGS says which other names are read for them; what is
not known here is ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from evaluation.json_values import to_line
from evaluation.measures import RankedRelevance, judge_rankings
from evaluation.rankings import DEPTH, Asked, Stage
from releases.durable import write_bytes_durably
from retrieval_core.errors import InvalidInput

PassageKey: TypeAlias = int | str
"""Passage ids of ours are whole numbers; files of others may name passages by text."""

SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "query_id": ("query_id", "qid"),
        "gold_id": ("gold_id", "gold_ids", "gold"),
        "ids": ("ids", "ranked_ids", "passage_ids"),
        "scores": ("scores",),
    }
)
"""The names that a field is read under, the one that is written first."""


@dataclass(frozen=True, slots=True)
class QueryHits:
    """The ranking of one query, best first; `task` and `article_id` are empty where unknown."""

    query_id: str
    gold_ids: tuple[PassageKey, ...]
    ids: tuple[PassageKey, ...]
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
    hits: dict[str, QueryHits] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{path}, line {number}"
            found = _parse_line(place, line)
            if found.query_id in hits:
                raise InvalidInput("hits", f"{place}: query id {found.query_id!r} occurs twice")
            hits[found.query_id] = found
    if not hits:
        raise InvalidInput("hits", f"{path}: holds no queries")
    return list(hits.values())


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
        values = json.loads(line)
    except ValueError as error:
        raise InvalidInput("hits", f"{place}: is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise InvalidInput("hits", f"{place}: is not a JSON object")
    fields = _Fields(place, values)
    hits = QueryHits(
        query_id=fields.query_id(),
        gold_ids=fields.keys("gold_id", one_is_enough=True),
        ids=fields.keys("ids"),
        scores=fields.scores(),
        task=str(values.get("task", "")),
        article_id=str(values.get("article_id", "")),
    )
    _check(place, hits)
    return hits


@dataclass(frozen=True, slots=True)
class _Fields:
    """The values of one line; whatever is not as it has to be is named with its line."""

    place: str
    values: Mapping[str, Any]

    def query_id(self) -> str:
        name, value = self._found("query_id")
        if not _is_key(value) or value == "":
            raise self._wrong(name, "a text or a whole number")
        return str(value)

    def keys(self, field: str, *, one_is_enough: bool = False) -> tuple[PassageKey, ...]:
        name, value = self._found(field)
        items = [value] if one_is_enough and not isinstance(value, list) else value
        if not isinstance(items, list) or not all(_is_key(item) for item in items):
            raise self._wrong(name, "passage ids: whole numbers or texts")
        return tuple(_as_key(item) for item in items)

    def scores(self) -> tuple[float, ...]:
        name, value = self._found("scores")
        if not isinstance(value, list) or not all(_is_finite(item) for item in value):
            raise self._wrong(name, "a list of finite numbers")
        return tuple(float(item) for item in value)

    def _found(self, field: str) -> tuple[str, Any]:
        names = [name for name in SPELLINGS[field] if name in self.values]
        if not names:
            read = " or ".join(f"`{name}`" for name in SPELLINGS[field])
            raise InvalidInput("hits", f"{self.place}: lacks {read}")
        # Several golds beside one of them, as our own files state them, are no contradiction.
        name = "gold_ids" if "gold_ids" in names else names[0]
        return name, self.values[name]

    def _wrong(self, name: str, expected: str) -> InvalidInput:
        shown = json.dumps(self.values[name])[:60]
        return InvalidInput("hits", f"{self.place}: `{name}` must be {expected}, is {shown}")


def _is_key(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _as_key(value: PassageKey) -> PassageKey:
    """A number written as text is that number: the files of a pair may differ in this."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check(place: str, hits: QueryHits) -> None:
    if not hits.gold_ids:
        raise InvalidInput("hits", f"{place}: has no gold id")
    if len(hits.scores) != len(hits.ids):
        raise InvalidInput("hits", f"{place}: {len(hits.ids)} ids, but {len(hits.scores)} `scores`")
    if len(set(hits.ids)) != len(hits.ids):
        raise InvalidInput("hits", f"{place}: `ids` ranks a passage twice")
