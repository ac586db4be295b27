"""Asks every shard at the same time and waits no longer than it pays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.ports import ShardAnswer, ShardQuery
from gateway.targets import ShardTarget, missing_reason, public_detail
from retrieval_core.budget import grace_ns
from retrieval_core.coverage import MissingReason, MissingShard
from retrieval_core.errors import DeadlineExceeded, RetrievalError
from retrieval_core.timing import Clock, Stage, TimingLedger

_NS_PER_S = 1e9
_LOOP_TURNS = 4


@dataclass(frozen=True, slots=True)
class FanOutPolicy:
    """How long to wait for shards.

    Once `grace_share` of those asked have answered, the rest has the grace: at least
    `grace_floor_ns`, in proportion (`grace_factor`) to what the answers took. Floor 0: no grace,
    all are waited for until the timeout.
    """

    timeout_ns: int = 250_000_000
    exact_timeout_ns: int = 5_000_000_000
    grace_floor_ns: int = 50_000_000
    grace_factor: float = 4.0
    grace_share: float = 0.5

    @property
    def patience_ns(self) -> int:
        """A shard that has had less than this has not failed."""
        return min(self.timeout_ns, self.grace_floor_ns or self.timeout_ns)

    def limit_ns(self, *, exact: bool) -> int:
        """The longest wait for one shard."""
        return self.exact_timeout_ns if exact else self.timeout_ns


@dataclass(frozen=True, slots=True)
class ShardOutcome:
    """What came of one shard: its answer, or why there is none (and the error, if it sent one).

    `ended_ns` is when it was settled, by the ledger's clock; 0 for a shard that was not asked.
    """

    target: str
    answer: ShardAnswer | None = None
    missing: MissingShard | None = None
    error: RetrievalError | None = None
    elapsed_ns: int = 0
    ended_ns: int = 0


async def ask_shards(
    targets: Sequence[ShardTarget],
    query: ShardQuery,
    timeout_ns: int,
    policy: FanOutPolicy,
    ledger: TimingLedger,
) -> list[ShardOutcome]:
    """Search all targets that may be asked; one outcome each, in the order of the targets.

    Returns within `timeout_ns`. Every shard asked gets a SEARCH entry in the ledger: from here to
    its answer, or to when it was given up.
    """
    started_ns = ledger.clock()
    tasks: dict[str, asyncio.Task[_Reply]] = {}
    outcomes: dict[str, ShardOutcome] = {}
    for target in targets:
        missing = target.why_not_asked()
        if missing is not None:
            outcomes[target.name] = ShardOutcome(target.name, missing=missing)
        else:
            asked = _ask(target, query, timeout_ns, ledger.clock)
            tasks[target.name] = asyncio.create_task(asked)
    try:
        await _wait(list(tasks.values()), started_ns, timeout_ns, policy, ledger.clock)
    finally:
        for task in tasks.values():
            task.cancel()
    for target in targets:
        if target.name in tasks:
            reply = _reply_of(tasks[target.name], ledger.clock())
            outcomes[target.name] = _settle(target, reply, started_ns, policy, ledger)
    return [outcomes[target.name] for target in targets]


@dataclass(frozen=True, slots=True)
class _Reply:
    result: ShardAnswer | RetrievalError
    at_ns: int


async def _ask(target: ShardTarget, query: ShardQuery, timeout_ns: int, clock: Clock) -> _Reply:
    try:
        answer = await target.client.search(query, timeout_ns)
    except RetrievalError as error:
        return _Reply(error, clock())
    return _Reply(answer, clock())


async def _wait(
    tasks: Sequence[asyncio.Task[_Reply]],
    started_ns: int,
    timeout_ns: int,
    policy: FanOutPolicy,
    clock: Clock,
) -> None:
    until_ns = started_ns + timeout_ns
    in_grace = policy.grace_floor_ns == 0
    pending = set(tasks)
    while pending and (left_ns := until_ns - clock()) > 0:
        _, pending = await asyncio.wait(
            pending, timeout=left_ns / _NS_PER_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not in_grace and _answered_count(tasks) >= policy.grace_share * len(tasks):
            in_grace = True
            now_ns = clock()
            took_ns = now_ns - started_ns
            grace = grace_ns(policy.grace_floor_ns, policy.grace_factor, took_ns)
            until_ns = min(until_ns, now_ns + grace)
    if pending:
        await _let_in_what_has_arrived()


async def _let_in_what_has_arrived() -> None:
    # On a busy machine the loop may have stood still for longer than the time-out. Its timers come
    # before its sockets, so answers that lie there unread would be taken for missing.
    for _ in range(_LOOP_TURNS):
        await asyncio.sleep(0)


def _answered_count(tasks: Sequence[asyncio.Task[_Reply]]) -> int:
    return sum(task.done() and isinstance(task.result().result, ShardAnswer) for task in tasks)


def _reply_of(task: asyncio.Task[_Reply], now_ns: int) -> _Reply:
    if task.done() and not task.cancelled():
        return task.result()
    return _Reply(DeadlineExceeded("no answer in time", reason="SHARD_TIMED_OUT"), now_ns)


def _settle(
    target: ShardTarget, reply: _Reply, started_ns: int, policy: FanOutPolicy, ledger: TimingLedger
) -> ShardOutcome:
    elapsed_ns = reply.at_ns - started_ns
    if isinstance(reply.result, ShardAnswer):
        target.record_success()
        queued_ns = reply.result.queued_ns
        ledger.record(Stage.SEARCH, target.name, elapsed_ns, queued_ns, started_ns=started_ns)
        return ShardOutcome(
            target.name, answer=reply.result, elapsed_ns=elapsed_ns, ended_ns=reply.at_ns
        )
    ledger.record(Stage.SEARCH, target.name, elapsed_ns, started_ns=started_ns)
    reason = missing_reason(reply.result)
    detail = public_detail(reply.result)
    if reason is MissingReason.TIMED_OUT:
        detail = f"no answer within {elapsed_ns / 1e6:.1f} ms"
    # A caller in a hurry says nothing about the shard: less than the usual patience is no failure.
    if reason is not MissingReason.TIMED_OUT or elapsed_ns >= policy.patience_ns:
        target.record_failure(reason, started_ns, reply.at_ns)
    missing = MissingShard(target.name, reason, detail)
    return ShardOutcome(
        target.name,
        missing=missing,
        error=reply.result,
        elapsed_ns=elapsed_ns,
        ended_ns=reply.at_ns,
    )
