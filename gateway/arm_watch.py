"""Keeps the servers behind the arms what the arms file says, while requests are answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.arms import BASELINE, CANARY, ArmsPlan, ArmTargets, parse_arms
from gateway.backends import Backends, why_other_release, why_unfit
from gateway.routing import Router
from retrieval_core.errors import InvalidInput
from servicekit.watched_file import Reading, WatchedFile

_LOGGER = logging.getLogger("gateway.arms")


class ArmRefused(Exception):
    """Servers that cannot make an arm; the text says which and why."""


@dataclass(frozen=True, slots=True)
class FirstPlan:
    """What to serve at the start, and what was wrong with the arms file if it is not that."""

    plan: ArmsPlan
    is_from_file: bool = False
    error: str = ""


def first_plan(file: WatchedFile | None, fallback: ArmsPlan) -> FirstPlan:
    """The arms file's plan, or the fallback where it has none that can be used."""
    reading = file.look() if file is not None else None
    if reading is None or reading == Reading():
        return FirstPlan(fallback)
    try:
        return FirstPlan(plan_of(reading), is_from_file=True)
    except InvalidInput as error:
        return FirstPlan(fallback, error=error.message)


def plan_of(reading: Reading) -> ArmsPlan:
    """The plan that was read. InvalidInput when it cannot be used."""
    if reading.text is None:
        raise InvalidInput("arms", reading.error or "the file is gone", reason="ARMS_UNPARSABLE")
    return parse_arms(reading.text)


@dataclass(slots=True)
class ArmWatch:
    """Switches arms to what a plan names once those servers have passed their checks.

    Both arms are switched in one step or none is; a plan that was refused is tried again every
    `retry_s` until it passes or another takes its place. `error` says what keeps it back.
    """

    router: Router
    open_backends: Callable[[ArmTargets], Backends]
    file: WatchedFile | None = None
    interval_s: float = 0.2
    retry_s: float = 1.0
    error: str = ""
    pending: ArmsPlan | None = None
    _closing: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _retry_at_s: float = field(init=False, default=0.0)

    async def start(self, first: FirstPlan) -> None:
        """Check the servers of the first plan and serve by it, whatever the check found.

        The baseline is the router's already; a canary waits until its servers pass.
        """
        baseline = self.router.baseline
        baseline.keep_checking()
        await baseline.topology.check()
        # Addresses out of the settings promise no release, so nothing is held against them.
        baseline.proven = not first.is_from_file
        self.error = first.error
        if first.is_from_file or first.plan.canary is not None:
            self.pending = first.plan
            await self.apply(first.plan)

    async def run(self) -> None:
        """Look for ever; cancel to end."""
        while True:
            await asyncio.sleep(self.interval_s)
            await self.look()

    async def look(self) -> None:
        """Look at the file once, and try what is pending when its time has come."""
        reading = self.file.look() if self.file is not None else None
        if reading is not None:
            self.read(reading)
        now_s = asyncio.get_running_loop().time()
        if self.pending is not None and (reading is not None or now_s >= self._retry_at_s):
            await self.apply(self.pending)
            self._retry_at_s = asyncio.get_running_loop().time() + self.retry_s

    def read(self, reading: Reading) -> None:
        """Take a plan out of the file; a bad one is an error and changes nothing."""
        try:
            self.pending = plan_of(reading)
        except InvalidInput as error:
            self.pending = None
            self._refuse(error.message)

    async def apply(self, plan: ArmsPlan) -> None:
        """Switch to the plan, or set `error` and leave everything as it is."""
        opened: list[Backends] = []
        try:
            baseline = await self._ready(BASELINE, plan.baseline, opened)
            canary = await self._ready(CANARY, plan.canary, opened) if plan.canary else None
        except ArmRefused as error:
            self._refuse(str(error))
            for backends in opened:
                await backends.close()
            return
        except asyncio.CancelledError:
            for backends in opened:
                await backends.close()
            raise
        self.pending, self.error = None, ""
        self._switch(baseline, canary)

    async def close(self) -> None:
        """Close everything that is open, used or not."""
        for task in self._closing:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._closing, return_exceptions=True)
        for backends in self.router.backends():
            await backends.close()

    def _switch(self, baseline: Backends, canary: Backends | None) -> None:
        before = self.router.backends()
        after = [one for one in (baseline, canary) if one is not None]
        self.router.use_backends(baseline, canary)
        for backends in after:
            if backends not in before:
                backends.keep_checking()
        for backends in before:
            if backends not in after:
                self._retire(backends)
        _LOGGER.info(
            "arms switched",
            extra={
                "baseline": baseline.release_id,
                "canary": canary.release_id if canary is not None else None,
            },
        )

    def _retire(self, backends: Backends) -> None:
        closing = asyncio.create_task(backends.close_when_idle(), name="retired backends")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _ready(self, arm: str, targets: ArmTargets, opened: list[Backends]) -> Backends:
        backends = self._known(targets, opened)
        if backends is None:
            try:
                backends = self.open_backends(targets)
            except ValueError as error:
                raise ArmRefused(f"{arm}: {error}") from None
            opened.append(backends)
        # What was proven once and lost a server since is still the right arm.
        why = why_other_release if backends.proven else why_unfit
        asked = backends.targets
        backends.targets = targets
        if why(backends):
            await backends.topology.check()
        if reason := why(backends):
            backends.targets = asked
            raise ArmRefused(f"{arm}: {reason}")
        backends.proven = True
        return backends

    def _known(self, targets: ArmTargets, opened: list[Backends]) -> Backends | None:
        for backends in (*self.router.backends(), *opened):
            if backends.targets.addresses == targets.addresses:
                return backends
        return None

    def _refuse(self, why: str) -> None:
        if why != self.error:
            _LOGGER.error("the arms stay as they are: %s", why)
        self.error = why
