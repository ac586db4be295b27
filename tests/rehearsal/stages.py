"""Builds the stage of a rehearsal: releases, a stack, callers, and limits that fit the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local.stack import LocalStack
from releases.pointers import switch_current
from rollouts.plan import HOUR_S, Limits, Plan
from tests.rehearsal.callers import Callers
from tests.rehearsal.releases import (
    build_first,
    derive_disturbed,
    derive_good,
    make_query_sets,
    questions_of,
)
from tests.rehearsal.running import Stage, calibrate, write_plan
from tests.rehearsal.scenarios import DISTURBED, GOOD
from tests.support.local_stacks import addresses_of, running_stack

FIRST = "first"

EDGES_MS = (10.0, 20.0, 50.0, 250.0)
"""Of the gateways' histogram; between the last two it can hardly tell times apart."""

LONGEST_PAUSE_S = 0.3

PATIENT = {
    # A slow shard is to be slow, and not missing.
    "GATEWAY_SHARD_TIMEOUT_MS": "2000",
    "GATEWAY_SHARD_GRACE_MS": "2000",
    "GATEWAY_RERANK_TIMEOUT_MS": "2000",
}

SMALL_NUMBERS = Limits(
    # Minutes give hundreds of requests where hours give many thousands. These margins are what so
    # few can settle; the rules are those of the real thing.
    least_requests=60,
    error_rise_pp=5.0,
    p95_rise_ratio=2.5,
    # Reference pages say much alike.
    near_duplicate_ratio=0.30,
    confident_drop_pp=15.0,
    confident_roll_back_pp=30.0,
    # The beginning of a passage finds it at rank 1 already: there is little to rerank.
    least_rank1_change=0.0,
)


@dataclass(frozen=True)
class Pace:
    """How fast the 48 hours go by, and what is patience in hours of the timeline."""

    time_scale: float
    hold_hours: float = 12.0
    query_count: int = 100


@contextmanager
def a_stage(
    folder: Path, corpus: Path, pace: Pace, report: Callable[[str], None]
) -> Iterator[Stage]:
    """Releases FIRST (served), GOOD and DISTURBED under `folder`, and everything around them."""
    releases = folder / "releases"
    report("building the releases")
    first = build_first(corpus, releases, FIRST, shard_count=2)
    derive_good(first, GOOD)
    derive_disturbed(first, DISTURBED)
    switch_current(releases, FIRST)
    query_sets = make_query_sets(first, folder / "querysets", pace.query_count)
    report(f"starting {FIRST}: {first.manifest.passage_count} passages, two shards")
    with running_stack(first.folder, folder / "run", settings=PATIENT) as stack:
        gateway = addresses_of(stack, "gateway")[0]
        with Callers(gateway, questions_of(first, 200)).calling() as callers:
            p95_ms = find_pace(stack, callers)
            report(f"P95 of the baseline: {p95_ms:.1f} ms, a pause of {callers.pause_s:g} s a call")
            limits = limits_for(p95_ms)
            plan = Plan(limits=limits, hold_s=pace.hold_hours * HOUR_S)
            yield Stage(
                stack,
                releases,
                folder / "rollouts",
                query_sets,
                callers,
                write_plan(folder / "plan.json", plan),
                pace.time_scale,
                slow_s=1.5 * limits.p95_roll_back_ms / 1e3,
            )


def find_pace(stack: LocalStack, callers: Callers) -> float:
    """Let the callers ask less often until the stack keeps up; its P95 in ms then."""
    while True:
        # What a stack answers first is slow: nothing is in any cache.
        calibrate(stack, 2.0)
        p95_ms = calibrate(stack, 4.0)
        if p95_ms < EDGES_MS[-2] or callers.pause_s >= LONGEST_PAUSE_S:
            return p95_ms
        callers.pause_s *= 2


def limits_for(p95_ms: float) -> Limits:
    """10 and 20 ms where the machine can do that, and the next edges of the histogram elsewhere."""
    good = next((edge for edge in EDGES_MS[:-1] if edge >= 3.0 * p95_ms), EDGES_MS[-1])
    bad = next((edge for edge in EDGES_MS if edge > good), EDGES_MS[-1])
    return replace(SMALL_NUMBERS, p95_ms=good, p95_roll_back_ms=bad)
