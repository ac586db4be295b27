"""The timing ledger of one request: what each stage took, and what nobody accounts for."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Clock = Callable[[], int]
"""Returns monotonic nanoseconds."""

monotonic_ns: Clock = time.monotonic_ns


class Stage(enum.Enum):
    """A step of answering one request; the values are the words used in output and metrics."""

    ENCODE = "ENCODE"
    QUERY_MODEL = "QUERY_MODEL"
    SEARCH = "SEARCH"
    MERGE = "MERGE"
    RERANK = "RERANK"
    TOTAL = "TOTAL"


RETRIEVAL_STAGES = (Stage.ENCODE, Stage.QUERY_MODEL, Stage.SEARCH, Stage.MERGE)


@dataclass(frozen=True, slots=True)
class StageTiming:
    """One stage on one target. Entries of the same stage ran at the same time.

    `started_ns` is by the ledger's clock, for spans; 0 where nobody knows, as after the wire.
    """

    stage: Stage
    target: str
    elapsed_ns: int
    queued_ns: int
    budget_ns: int
    started_ns: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """All of one request: total = sum over stages of the longest entry + unaccounted."""

    stages: tuple[StageTiming, ...]
    total_ns: int

    @property
    def unaccounted_ns(self) -> int:
        """The part of the total that no stage accounts for; never below zero."""
        return max(0, self.total_ns - sum(stage_totals_ns(self.stages).values()))

    @property
    def retrieval_ns(self) -> int:
        """Encode, query model, fan-out and merge together."""
        totals = stage_totals_ns(self.stages)
        return sum(totals.get(stage, 0) for stage in RETRIEVAL_STAGES)


def stage_totals_ns(stages: Iterable[StageTiming]) -> dict[Stage, int]:
    """Wall time of each stage: its longest entry, since entries of one stage run together."""
    totals: dict[Stage, int] = {}
    for timing in stages:
        totals[timing.stage] = max(totals.get(timing.stage, 0), timing.elapsed_ns)
    return totals


@dataclass(slots=True)
class TimingLedger:
    """Collects the timings of one request while it runs; `clock` is monotonic nanoseconds."""

    budgets_ns: Mapping[Stage, int]
    clock: Clock = monotonic_ns
    started_ns: int = field(init=False)
    _stages: list[StageTiming] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.started_ns = self.clock()

    def record(
        self,
        stage: Stage,
        target: str,
        elapsed_ns: int,
        queued_ns: int = 0,
        *,
        started_ns: int = 0,
    ) -> None:
        """Add one entry; negative durations are clipped to zero."""
        budget = self.budgets_ns.get(stage, 0)
        self._stages.append(
            StageTiming(stage, target, max(0, elapsed_ns), max(0, queued_ns), budget, started_ns)
        )

    def elapsed_ns(self) -> int:
        """Time since the request began."""
        return self.clock() - self.started_ns

    def close(self) -> Timings:
        """Freeze the ledger."""
        return Timings(tuple(self._stages), self.elapsed_ns())


_MS = 1_000_000

DEFAULT_BUDGETS_NS: Mapping[Stage, int] = MappingProxyType(
    {
        # The four of retrieval add up to its 8 ms.
        Stage.ENCODE: 4 * _MS,
        Stage.QUERY_MODEL: _MS // 2,
        Stage.SEARCH: 3 * _MS,
        Stage.MERGE: _MS // 2,
        Stage.RERANK: 2 * _MS,
        Stage.TOTAL: 10 * _MS,
    }
)
