"""What is rehearsed: how a candidate is bad, and how its rollout has to end, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GOOD = "good"
DISTURBED = "disturbed"


class Trouble(StrEnum):
    """What befalls a canary from outside."""

    NONE = "none"
    SLOW = "its shards answer late"
    BROKEN = "its shards cannot be reached"
    NO_CALLERS = "nobody asks"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One rollout. `reason`: what the last decision has to say; percents: the steps it reaches."""

    name: str
    release: str
    trouble: Trouble
    exit_status: int
    outcome: str
    verdict: str
    reason: str
    percents: tuple[float, ...]


SLOW = Scenario(
    "a slow canary", GOOD, Trouble.SLOW, 1, "rolled back", "FAIL", "P95 to roll back: FAIL", (5,)
)
BROKEN = Scenario(
    "one with errors", GOOD, Trouble.BROKEN, 1, "rolled back", "FAIL", "error rate: FAIL", (5,)
)
WORSE = Scenario(
    "one that finds the wrong passages",
    DISTURBED,
    Trouble.NONE,
    1,
    "rolled back",
    "FAIL",
    "R@5 on",
    (5, 25, 50),
)
IDLE = Scenario(
    "one without traffic", GOOD, Trouble.NO_CALLERS, 4, "held", "INCONCLUSIVE", "requests", (5,)
)
WELL = Scenario(
    "a good canary",
    GOOD,
    Trouble.NONE,
    0,
    "promoted",
    "PASS",
    "every gate passes",
    (5, 25, 50, 100),
)
ALL = (SLOW, BROKEN, WORSE, IDLE, WELL)
"""The good one comes last: after it another release is the baseline."""
