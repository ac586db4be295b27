"""Asks the same queries through a running gateway, end to end."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from evaluation.arms import Arm, check_answer, key_of_arm
from evaluation.in_process import excluded_ids
from evaluation.querysets import EvaluationQuery, QuerySet
from evaluation.rankings import DEPTH, Asked, QueryOutcome, Ranking
from retrieval_client import Query, RetrievalClient, SearchResult

SKIP_RERANK = "SKIP_RERANK"
MOST_TRIES = 3
NO_RERANKER = ("RERANKER_NOT_CONFIGURED", "RERANKER_OFF")


@dataclass(frozen=True, slots=True)
class _Answers:
    """The three answers to one query."""

    outcome: QueryOutcome
    query_model: str
    is_incomplete: bool
    is_degraded: bool


@dataclass(frozen=True)
class ThroughServices:
    """A gateway that has to serve `release_id`. `mode` and `ask` are those of rankings.Asker."""

    client: RetrievalClient
    release_id: str
    arm: Arm = Arm.BASELINE
    nprobe: int = 0
    query_model: str = ""
    with_rerank: bool = True
    concurrency: int = 1
    mode: str = "services"

    @cached_property
    def _key(self) -> str:
        return key_of_arm(self.arm)

    def ask(self, query_set: QuerySet) -> Asked:
        """Ask each query exactly, without rerank, and as callers do.

        FailedPrecondition when another release answers; errors of the client as they are.
        """
        with ThreadPoolExecutor(self.concurrency) as pool:
            answers = list(pool.map(self._answers, query_set.queries))
        return Asked(
            query_set,
            [answer.outcome for answer in answers],
            query_model=", ".join(sorted({each.query_model for each in answers} - {""})),
            incomplete_count=sum(answer.is_incomplete for answer in answers),
            degraded_count=sum(answer.is_degraded for answer in answers),
        )

    def _answers(self, query: EvaluationQuery) -> _Answers:
        flat = self._ask(query, exact=True, skip_rerank=True)
        search = self._ask(query, exact=False, skip_rerank=True)
        results = [flat, search]
        final = self._ask_reranked(query) if self.with_rerank else None
        if final is not None:
            results.append(final)
        skipped = None if final is None else _why_not_reranked(final)
        is_reranked = final is not None and skipped is None
        outcome = QueryOutcome(
            query,
            _ranking(flat),
            _ranking(search),
            _ranking(final) if final is not None and is_reranked else None,
        )
        return _Answers(
            outcome,
            search.query_model,
            any(result.coverage.ratio < 1.0 for result in results),
            _is_degraded(skipped),
        )

    def _ask_reranked(self, query: EvaluationQuery) -> SearchResult:
        """As callers ask; asked again where the reranker was merely late, as on a busy machine."""
        for _ in range(MOST_TRIES - 1):
            result = self._ask(query, exact=False, skip_rerank=False)
            if not _is_degraded(_why_not_reranked(result)):
                return result
        return self._ask(query, exact=False, skip_rerank=False)

    def _ask(self, query: EvaluationQuery, *, exact: bool, skip_rerank: bool) -> SearchResult:
        asked = dataclasses.replace(
            served_query(query, self._key),
            nprobe=0 if exact else self.nprobe,
            exact=exact,
            skip_rerank=skip_rerank,
            query_model=self.query_model if query.context else "",
        )
        result = self.client.ask(asked)
        check_answer(result, self.release_id, self.arm)
        return result


def served_query(query: EvaluationQuery, routing_key: str) -> Query:
    """The query as a caller would ask it: DEPTH hits, its context left out."""
    return Query(
        text=query.text or None,
        context=_context_texts(query),
        limit=DEPTH,
        excluded_passage_ids=excluded_ids(query),
        routing_key=routing_key,
    )


def _context_texts(query: EvaluationQuery) -> Sequence[str] | None:
    return [item.text for item in query.context] or None


def _why_not_reranked(result: SearchResult) -> str | None:
    return next((item.reason for item in result.degradations if item.step == SKIP_RERANK), None)


def _is_degraded(skipped: str | None) -> bool:
    """Whether a reranker serves and still had no say."""
    return skipped is not None and skipped not in NO_RERANKER


def _ranking(result: SearchResult) -> Ranking:
    return Ranking(
        tuple(hit.passage_id for hit in result.hits), tuple(hit.score for hit in result.hits)
    )
