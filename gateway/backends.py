"""The servers of one release as one thing: what is known of them, the pipeline, who uses them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gateway.arms import ArmTargets
from gateway.pipeline import Pipeline
from gateway.targets import is_asked
from gateway.topology import Topology

Close = Callable[[], Awaitable[object]]


@dataclass(slots=True, eq=False)
class Backends:
    """Used as a context manager by every request on it, so that it is closed after the last.

    `proven` once a check found all that a plan asks for.
    """

    targets: ArmTargets
    topology: Topology
    pipeline: Pipeline
    closes: Sequence[Close] = ()
    proven: bool = False
    _user_count: int = field(init=False, default=0)
    _idle: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _checking: asyncio.Task[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._idle.set()

    def __enter__(self) -> None:
        self._user_count += 1
        self._idle.clear()

    def __exit__(self, *_: object) -> None:
        self._user_count -= 1
        if self._user_count == 0:
            self._idle.set()

    @property
    def user_count(self) -> int:
        """Requests that are being answered by it."""
        return self._user_count

    @property
    def release_id(self) -> str:
        """What the shards serve by the last checks; what was asked for before the first answer."""
        return self.topology.view.release_id or self.targets.release

    @property
    def coverage_ratio(self) -> float:
        """Share of the corpus that serves, 0 to 1."""
        serving = sum(map(is_asked, self.topology.shards))
        return serving / self.topology.view.shard_count

    def keep_checking(self) -> None:
        """Check every server once an interval from now on."""
        self._checking = asyncio.create_task(self.topology.run(), name="topology")

    async def close_when_idle(self) -> None:
        """Wait for the requests on it, then close."""
        await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        """Close the channels at once; requests on them fail."""
        if self._checking is not None:
            self._checking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._checking
        for close in self.closes:
            await close()


def why_unfit(backends: Backends) -> str:
    """Why the servers cannot make an arm by the last checks, or "" when they can.

    Needed: encoder and every shard serving, one release, the one asked for, one encoder's vectors.
    """
    topology = backends.topology
    for target in (topology.encoder, *topology.shards):
        if not is_asked(target):
            missing = target.why_not_asked()
            detail = target.failure or (missing.detail if missing else "")
            return f"{target.name} at {target.address}: {detail}"
    return why_other_release(backends) or _why_mixed(topology)


def why_other_release(backends: Backends) -> str:
    """Why the servers are not those of the release asked for, or ""."""
    wanted, found = backends.targets.release, backends.topology.view.release_id
    return f"serves the release {found}, not {wanted}" if wanted and found != wanted else ""


def _why_mixed(topology: Topology) -> str:
    shards = [shard.description for shard in topology.shards if shard.description]
    if len(releases := sorted({shard.release_id for shard in shards})) > 1:
        return f"the shards serve different releases: {', '.join(releases)}"
    if topology.view.shard_count > len(topology.shards):
        return f"the release has {topology.view.shard_count} shards, {len(shards)} are named"
    encoder = topology.encoder.description
    fingerprints = {shard.fingerprint for shard in shards} - {""}
    if encoder and encoder.fingerprint and fingerprints - {encoder.fingerprint}:
        return "the encoder is not the one that made the shards' vectors"
    return ""
