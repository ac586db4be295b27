"""One query through all stages: encode, search every shard, merge, rerank, answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.answer import Answer, Found, returned_hits
from gateway.fanout import FanOutPolicy, ShardOutcome, ask_shards
from gateway.ports import EncodedQuery, ShardQuery
from gateway.query import UNTUNED, ContextQuery, SearchQuery, Tuning, VectorQuery
from gateway.reranking import Ranking, RerankStage, RerankWish, search_order
from gateway.settling import CorpusView, Settled, check_lanes_known, settle_outcomes
from gateway.targets import EncoderTarget, ShardTarget
from retrieval_core.budget import RecentDuration, bounded_timeout_ns
from retrieval_core.coverage import Degradation, partial_coverage
from retrieval_core.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from retrieval_core.hits import MergedHits, merge_hit_lists
from retrieval_core.timing import Stage, TimingLedger


@dataclass(frozen=True, slots=True)
class PipelinePolicy:
    """Settings of the pipeline. `reserve_ns` of the deadline is kept for writing the answer."""

    fan_out: FanOutPolicy = field(default_factory=FanOutPolicy)
    min_coverage: float = 0.25
    candidate_count: int = 50
    reserve_ns: int = 2_000_000


@dataclass(slots=True)
class Pipeline:
    """Answers queries. `view` gives what the last checks say about the corpus."""

    encoder: EncoderTarget
    shards: Sequence[ShardTarget]
    reranking: RerankStage
    view: Callable[[], CorpusView]
    policy: PipelinePolicy = field(default_factory=PipelinePolicy)
    _recent_encode: RecentDuration = field(init=False)
    _recent_search: RecentDuration = field(init=False)

    def __post_init__(self) -> None:
        # Nothing is known yet, so nothing is refused for lack of time.
        self._recent_encode, self._recent_search = RecentDuration(0), RecentDuration(0)

    async def answer(
        self,
        query: SearchQuery,
        ledger: TimingLedger,
        deadline_ns: int,
        tuning: Tuning = UNTUNED,
        *,
        keeps_features: bool = False,
    ) -> Answer:
        """Answer one query before the deadline (monotonic ns); stages go into the ledger.

        `tuning` decides what the query leaves open. `keeps_features` has the reranker send what it
        saw although the caller asked for no explanation.

        Raises DeadlineExceeded, Unavailable below the minimum coverage, InvalidInput for a lane
        that no shard has, FailedPrecondition for vectors of another encoder.
        """
        clock = _Countdown(ledger, deadline_ns, self.policy.reserve_ns)
        self._refuse_without_hope(query, clock)
        encoded = await self._encode(query, clock, query.query_model or tuning.query_model)
        outcomes = await self._search(query, encoded, clock, query.nprobe or tuning.nprobe)
        # From the last shard's answer on: waking up and sorting out who answered is merging too.
        merging_ns = max(outcome.ended_ns for outcome in outcomes) or ledger.clock()
        settled = self._settle(outcomes, clock)
        check_lanes_known(query.lanes, settled, self.view())
        merged = self._merge(query, settled)
        merged_ns = ledger.clock()
        wish = RerankWish(tuning.reranks, query.explain or keeps_features)
        ranking = await self._rank(query, encoded, merged, clock, wish)
        ranked_ns = ledger.clock()
        answer = self._compose(query, settled, Found(encoded, settled.answers, merged, ranking))
        # One entry for both halves of the gateway's own work, before and after the reranker.
        own_ns = (merged_ns - merging_ns) + (ledger.clock() - ranked_ns)
        ledger.record(Stage.MERGE, "gateway", own_ns, started_ns=merging_ns)
        return answer

    def _refuse_without_hope(self, query: SearchQuery, clock: _Countdown) -> None:
        left_ns = clock.left_ns("the query")
        if query.exact:
            return
        recent = [self._recent_search]
        if not isinstance(query.subject, VectorQuery):
            recent.append(self._recent_encode)
        # Half of the mean: what is cached or lucky takes less, and a mean is no promise.
        if left_ns >= sum(one.mean_ns for one in recent) // 2:
            return
        for one in recent:
            one.forget()
        raise DeadlineExceeded(
            f"{left_ns / 1e6:.1f} ms are left, far less than it took lately",
            reason="TIME_LEFT_TOO_SHORT",
        )

    async def _encode(
        self, query: SearchQuery, clock: _Countdown, query_model: str
    ) -> EncodedQuery:
        subject = query.subject
        if isinstance(subject, VectorQuery):
            return EncodedQuery(subject.vector, fingerprint=query.fingerprint)
        started_ns = clock.now_ns()
        timeout_ns = clock.left_ns("encoding")
        try:
            encoded = await self.encoder.client.encode_query(subject, timeout_ns, query_model)
        except BaseException:
            elapsed_ns = clock.now_ns() - started_ns
            clock.ledger.record(Stage.ENCODE, self.encoder.name, elapsed_ns, started_ns=started_ns)
            raise
        elapsed_ns = clock.now_ns() - started_ns - encoded.query_model_ns
        self._recent_encode.add_ns(elapsed_ns)
        clock.ledger.record(
            Stage.ENCODE,
            self.encoder.name,
            elapsed_ns,
            encoded.queued_ns,
            started_ns=started_ns,
        )
        if isinstance(subject, ContextQuery):
            # The encoder runs it last.
            clock.ledger.record(
                Stage.QUERY_MODEL,
                self.encoder.name,
                encoded.query_model_ns,
                started_ns=started_ns + elapsed_ns,
            )
        _check_fingerprint(query, encoded)
        return encoded

    async def _search(
        self, query: SearchQuery, encoded: EncodedQuery, clock: _Countdown, nprobe: int
    ) -> list[ShardOutcome]:
        policy = self.policy.fan_out
        left_ns = clock.left_ns("the search")
        timeout_ns = bounded_timeout_ns(policy.limit_ns(exact=query.exact), left_ns)
        asked = self._shard_query(query, encoded, nprobe)
        outcomes = await ask_shards(self.shards, asked, timeout_ns, policy, clock.ledger)
        self._learn_from(query, outcomes)
        return outcomes

    def _settle(self, outcomes: Sequence[ShardOutcome], clock: _Countdown) -> Settled:
        try:
            return settle_outcomes(outcomes, self.view(), self.policy.min_coverage)
        except Unavailable:
            clock.left_ns("the search")
            raise

    def _learn_from(self, query: SearchQuery, outcomes: Sequence[ShardOutcome]) -> None:
        # The fastest answer is all that an answer needs; waiting for more is a choice.
        answered = [outcome.elapsed_ns for outcome in outcomes if outcome.answer is not None]
        if answered and not query.exact:
            self._recent_search.add_ns(min(answered))

    def _shard_query(self, query: SearchQuery, encoded: EncodedQuery, nprobe: int) -> ShardQuery:
        return ShardQuery(
            vector=encoded.vector,
            k=max(self.policy.candidate_count, query.limit),
            nprobe=nprobe,
            exact=query.exact,
            lanes=query.lanes,
            excluded_passage_ids=query.excluded_passage_ids,
            fingerprint=encoded.fingerprint,
            include_projections=not query.skip_rerank,
        )

    def _merge(self, query: SearchQuery, settled: Settled) -> MergedHits:
        limit = max(self.policy.candidate_count, query.limit)
        return merge_hit_lists([answer.hits for answer in settled.answers], limit)

    async def _rank(
        self,
        query: SearchQuery,
        encoded: EncodedQuery,
        merged: MergedHits,
        clock: _Countdown,
        wish: RerankWish,
    ) -> Ranking:
        if query.skip_rerank:
            return search_order(merged.hits)
        return await self.reranking.rank(
            merged.hits,
            encoded,
            wish,
            time_left_ns=clock.left_or_zero_ns(),
            ledger=clock.ledger,
        )

    def _compose(self, query: SearchQuery, settled: Settled, found: Found) -> Answer:
        encoded = found.encoded
        is_vector = isinstance(query.subject, VectorQuery)
        return Answer(
            hits=returned_hits(found, query.limit, explain=query.explain),
            coverage=settled.coverage,
            degradations=_degradations(settled, found),
            release_id=settled.release_id,
            fingerprint="" if is_vector else encoded.fingerprint,
            query_model=encoded.query_model,
            truncated=encoded.truncated,
            nprobe=max((answer.nprobe for answer in settled.answers), default=0),
            found=found,
        )


@dataclass(frozen=True, slots=True)
class _Countdown:
    """The time that is left for the stages of one request."""

    ledger: TimingLedger
    deadline_ns: int
    reserve_ns: int

    def now_ns(self) -> int:
        return self.ledger.clock()

    def left_or_zero_ns(self) -> int:
        return max(0, self.deadline_ns - self.reserve_ns - self.now_ns())

    def left_ns(self, what: str) -> int:
        left_ns = self.left_or_zero_ns()
        if left_ns == 0:
            raise DeadlineExceeded(f"no time left for {what}")
        return left_ns


def _check_fingerprint(query: SearchQuery, encoded: EncodedQuery) -> None:
    if not query.fingerprint or query.fingerprint == encoded.fingerprint:
        return
    if isinstance(query.subject, ContextQuery) and query.subject.has_vectors:
        raise FailedPrecondition(
            f"the context's vectors are of {query.fingerprint}, "
            f"the encoder is {encoded.fingerprint}",
            reason="FINGERPRINT_MISMATCH",
        )


def _degradations(settled: Settled, found: Found) -> tuple[Degradation, ...]:
    taken = (
        found.encoded.degradation,
        partial_coverage(settled.coverage),
        found.ranking.degradation,
    )
    return tuple(degradation for degradation in taken if degradation is not None)
