"""Which servers stand behind the gateway, by checks in the background that no request waits for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.ports import Description
from gateway.settling import CorpusView
from gateway.targets import (
    AnyTarget,
    EncoderTarget,
    RerankerTarget,
    ShardTarget,
    public_detail,
)
from retrieval_core.errors import RetrievalError
from retrieval_core.timing import Clock, monotonic_ns

_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class TargetState:
    """What people are told about one target; `age_ns` is that of the last successful check."""

    name: str
    address: str
    is_serving: bool
    detail: str = ""
    release_id: str = ""
    fingerprint: str = ""
    passage_count: int = 0
    lanes: tuple[str, ...] = ()
    version: str = ""
    age_ns: int | None = None


@dataclass(slots=True)
class Topology:
    """Checks every target once an interval, and at once when one has been set aside.

    A check asks the server what it serves, through the same channel as the requests, so that health
    and reachability are part of the question. A server that passes is given another chance.
    `version` is that of the gateway itself.
    """

    encoder: EncoderTarget
    shards: Sequence[ShardTarget]
    reranker: RerankerTarget | None
    interval_ns: int
    timeout_ns: int
    version: str = "0"
    clock: Clock = monotonic_ns
    view: CorpusView = field(init=False)
    _hurry: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.view = CorpusView(shard_count=len(self.shards))
        for target in self.targets:
            target.on_set_aside = self._hurry.set

    @property
    def targets(self) -> list[AnyTarget]:
        """Encoder, shards, reranker."""
        last = [] if self.reranker is None else [self.reranker]
        return [self.encoder, *self.shards, *last]

    async def run(self) -> None:
        """Check for ever; cancel to end."""
        while True:
            await self._pause()
            await self.check()

    async def check(self) -> None:
        """Ask every target once, all at the same time, and learn from the answers."""
        await asyncio.gather(*(self._check_one(target) for target in self.targets))
        _bar_repeated_shards(self.shards)
        self.view = corpus_view(self.shards, self.view.release_id)

    def states(self) -> list[TargetState]:
        """What the last checks found."""
        now_ns = self.clock()
        return [_state(target, now_ns) for target in self.targets]

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self.interval_ns / _NS_PER_S):
                await self._hurry.wait()
        except TimeoutError:
            pass
        self._hurry.clear()

    async def _check_one(self, target: AnyTarget) -> None:
        try:
            target.description = await target.client.describe(self.timeout_ns)
        except RetrievalError as error:
            target.failure = public_detail(error)
            return
        target.failure = ""
        target.last_seen_ns = self.clock()
        target.breaker.allow_trial()


def corpus_view(shards: Iterable[ShardTarget], current_release: str) -> CorpusView:
    """The corpus as the shards describe it.

    The release is that of most serving shards, ties going to the current one. The number of shards
    is what that release says, and never less than the number of targets.
    """
    targets = list(shards)
    serving = [target.description for target in targets if target.description and target.is_serving]
    counts = Counter(description.release_id for description in serving)
    release_id = max(
        counts, key=lambda name: (counts[name], name == current_release, name), default=""
    )
    release_id = release_id or current_release
    said = [
        target.description.shard_count
        for target in targets
        if target.description and target.description.release_id == release_id
    ]
    lanes = {target.name: target.description.lanes for target in targets if target.description}
    return CorpusView(release_id, max([len(targets), *said]), lanes)


def _bar_repeated_shards(shards: Iterable[ShardTarget]) -> None:
    # Two targets with the same part of the corpus would look like complete coverage.
    first: dict[tuple[str, int], str] = {}
    for target in shards:
        description = target.description
        if description is None or not target.is_serving:
            continue
        place = (description.release_id, description.shard)
        owner = first.setdefault(place, target.name)
        target.bar = (
            "" if owner == target.name else f"serves shard {description.shard}, as {owner} does"
        )


def _state(target: AnyTarget, now_ns: int) -> TargetState:
    description = target.description or Description()
    last_seen_ns = target.last_seen_ns
    set_aside = target.why_not_asked()
    return TargetState(
        name=target.name,
        address=target.address,
        is_serving=target.is_serving and set_aside is None,
        detail=target.failure or (set_aside.detail if set_aside else ""),
        release_id=description.release_id,
        fingerprint=description.fingerprint,
        passage_count=description.passage_count,
        lanes=description.lanes,
        version=description.version,
        age_ns=None if last_seen_ns is None else now_ns - last_seen_ns,
    )
