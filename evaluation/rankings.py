"""What was asked and what came back: rankings of one query by stage, and facts about the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from evaluation.querysets import EvaluationQuery, QuerySet

DEPTH = 50
"""Ranks that are kept; the gateway reranks as many candidates."""


class Stage(StrEnum):
    """Whose ranking it is."""

    FLAT = "flat"
    """Exact search: the truth that the index is held against."""
    SEARCH = "search"
    """The served index, before rerank."""
    RERANK = "rerank"
    """After rerank: what a caller gets."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Passage ids, best first, and their scores."""

    ids: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """All rankings of one query; `rerank` is None where there is no reranker."""

    query: EvaluationQuery
    flat: Ranking
    search: Ranking
    rerank: Ranking | None = None

    @property
    def final(self) -> Ranking:
        """What a caller gets."""
        return self.search if self.rerank is None else self.rerank

    def stage(self, stage: Stage) -> Ranking:
        """The ranking of one stage; after rerank it is the search's where there is none."""
        return {Stage.FLAT: self.flat, Stage.SEARCH: self.search, Stage.RERANK: self.final}[stage]


@dataclass(frozen=True, slots=True)
class Asked:
    """The outcomes of one query set, in its order.

    `incomplete_count` answers lacked a shard, `degraded_count` were not reranked though a reranker
    serves; `norm_deviation` is the worst of the query vectors, None where they were not seen.
    """

    query_set: QuerySet
    outcomes: Sequence[QueryOutcome]
    query_model: str = ""
    incomplete_count: int = 0
    degraded_count: int = 0
    norm_deviation: float | None = None
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def is_reranked(self) -> bool:
        """Whether any ranking went through a reranker."""
        return any(outcome.rerank is not None for outcome in self.outcomes)


class Asker(Protocol):
    """Answers all queries of a set: in this process, or through running services."""

    @property
    def mode(self) -> str:
        """How it asks, as reports state it."""
        ...

    def ask(self, query_set: QuerySet) -> Asked:
        """Rank every query at every stage, DEPTH passages deep, its context left out."""
        ...
