"""The rerank stage: whether it fits, what it did, and why it was skipped."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gateway.ports import EncodedQuery, RerankAnswer, RerankQuery
from gateway.targets import RerankerTarget, missing_reason, public_detail
from retrieval_core.budget import RecentDuration, bounded_timeout_ns
from retrieval_core.coverage import Degradation, DegradationStep, MissingReason
from retrieval_core.errors import FailedPrecondition, InternalError, RetrievalError
from retrieval_core.hits import HitList, rank_order
from retrieval_core.timing import Stage, TimingLedger

_REASONS = {
    MissingReason.TIMED_OUT: "RERANKER_TIMED_OUT",
    MissingReason.UNREACHABLE: "RERANKER_UNREACHABLE",
    MissingReason.OVERLOADED: "RERANKER_OVERLOADED",
    MissingReason.FAILED: "RERANKER_FAILED",
}


@dataclass(frozen=True, slots=True)
class RerankPolicy:
    """`is_on` off skips the stage; `candidate_count` best candidates are reranked."""

    is_on: bool = True
    candidate_count: int = 50
    timeout_ns: int = 25_000_000
    expected_ns: int = 2_000_000


@dataclass(frozen=True, slots=True)
class RerankWish:
    """What one query wants of the stage: whether the arm reranks, and the features to be kept."""

    is_on: bool = True
    with_features: bool = False


DEFAULT_WISH = RerankWish()


@dataclass(frozen=True, slots=True)
class Ranking:
    """The final order of the candidates.

    `order` [n] holds indexes into the candidates, best first; `scores` [n] float32 are parallel to
    the candidates: the reranker's for those it saw, the cosine for the others.
    """

    order: npt.NDArray[np.intp]
    scores: npt.NDArray[np.float32]
    answer: RerankAnswer | None = None
    degradation: Degradation | None = None


@dataclass(slots=True)
class RerankStage:
    """Reranks with one target (None: there is no reranker), remembering what it took lately."""

    target: RerankerTarget | None
    policy: RerankPolicy
    _recent: RecentDuration = field(init=False)

    def __post_init__(self) -> None:
        self._recent = RecentDuration(self.policy.expected_ns)

    async def rank(
        self,
        candidates: HitList,
        encoded: EncodedQuery,
        wish: RerankWish = DEFAULT_WISH,
        *,
        time_left_ns: int,
        ledger: TimingLedger,
    ) -> Ranking:
        """Rerank within the time left; never fails, the reason is in the ranking instead."""
        if not len(candidates):
            return search_order(candidates)
        timeout_ns = bounded_timeout_ns(self.policy.timeout_ns, time_left_ns)
        reason = self._reason_to_skip(candidates, timeout_ns, is_on=wish.is_on)
        if self.target is None or reason is not None:
            return search_order(candidates, _skipped(reason or "RERANKER_NOT_CONFIGURED"))
        head = _head(candidates, self.policy.candidate_count)
        query = RerankQuery(
            head,
            encoded.vector,
            encoded.context_vectors,
            encoded.fingerprint,
            wish.with_features,
        )
        return await self._ask(self.target, query, candidates, timeout_ns, ledger)

    def _reason_to_skip(self, candidates: HitList, timeout_ns: int, *, is_on: bool) -> str | None:
        if not (is_on and self.policy.is_on):
            return "RERANKER_OFF"
        if self.target is None:
            return "RERANKER_NOT_CONFIGURED"
        if self.target.why_not_asked() is not None:
            return "RERANKER_SET_ASIDE"
        if candidates.projections is None:
            return "PROJECTIONS_MISSING"
        if timeout_ns < min(self._recent.upper_ns, self.policy.timeout_ns):
            self._recent.forget()
            return "NO_TIME_LEFT"
        return None

    async def _ask(
        self,
        target: RerankerTarget,
        query: RerankQuery,
        candidates: HitList,
        timeout_ns: int,
        ledger: TimingLedger,
    ) -> Ranking:
        started_ns = ledger.clock()
        queued_ns = 0
        try:
            answer = await target.client.rerank(query, timeout_ns)
            queued_ns = answer.queued_ns
            ranking = reranked_order(candidates, answer)
        except RetrievalError as error:
            self._record_failure(target, error, timeout_ns, started_ns, ledger.clock())
            return search_order(candidates, _failed(error))
        finally:
            elapsed_ns = ledger.clock() - started_ns
            ledger.record(Stage.RERANK, target.name, elapsed_ns, queued_ns, started_ns=started_ns)
            self._recent.add_ns(elapsed_ns)
        target.record_success()
        return ranking

    def _record_failure(
        self,
        target: RerankerTarget,
        error: RetrievalError,
        timeout_ns: int,
        started_ns: int,
        ended_ns: int,
    ) -> None:
        reason = missing_reason(error)
        # A caller in a hurry says nothing about the reranker.
        if reason is not MissingReason.TIMED_OUT or timeout_ns >= self.policy.timeout_ns:
            target.record_failure(reason, started_ns, ended_ns)


def search_order(candidates: HitList, degradation: Degradation | None = None) -> Ranking:
    """The order of the search, cosines as scores."""
    return Ranking(np.arange(len(candidates)), candidates.scores, degradation=degradation)


def reranked_order(candidates: HitList, answer: RerankAnswer) -> Ranking:
    """Sort the candidates that the answer scores; the others keep their order behind them.

    Scores that are not one finite number a candidate raise InternalError.
    """
    count = len(answer.scores)
    if count > len(candidates) or not np.isfinite(answer.scores).all():
        raise InternalError("the reranker's scores are not one finite number a candidate")
    head = rank_order(answer.scores, candidates.passage_ids[:count])
    order = np.concatenate([head, np.arange(count, len(candidates))])
    scores = np.concatenate([answer.scores, candidates.scores[count:]])
    return Ranking(order, scores, answer)


def _head(candidates: HitList, count: int) -> HitList:
    if len(candidates) <= count:
        return candidates
    projections = candidates.projections
    return HitList(
        candidates.passage_ids[:count],
        candidates.scores[:count],
        candidates.article_keys[:count],
        candidates.positions[:count],
        None if projections is None else projections[:count],
    )


def _skipped(reason: str) -> Degradation:
    return Degradation(DegradationStep.SKIP_RERANK, reason)


def _failed(error: RetrievalError) -> Degradation:
    if isinstance(error, FailedPrecondition):
        return Degradation(DegradationStep.SKIP_RERANK, error.reason, public_detail(error))
    reason = _REASONS[missing_reason(error)]
    return Degradation(DegradationStep.SKIP_RERANK, reason, public_detail(error))
