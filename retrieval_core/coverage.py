"""How complete an answer is, and what was left out or lowered to give it in time."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class MissingReason(enum.Enum):
    """Why a shard did not contribute; the values are the words used in output and metrics."""

    TIMED_OUT = "TIMED_OUT"
    UNREACHABLE = "UNREACHABLE"
    OVERLOADED = "OVERLOADED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class MissingShard:
    """One shard that did not contribute."""

    target: str
    reason: MissingReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shards that answered of those the corpus has; `asked` is at least 1."""

    asked: int
    missing: tuple[MissingShard, ...] = ()

    @property
    def answered(self) -> int:
        """Shards whose hits are in the answer."""
        return self.asked - len(self.missing)

    @property
    def ratio(self) -> float:
        """answered / asked; 0 when there is no shard at all."""
        return self.answered / self.asked if self.asked else 0.0

    @property
    def is_complete(self) -> bool:
        """Every shard contributed."""
        return self.asked > 0 and not self.missing


class DegradationStep(enum.Enum):
    """What can be left out or lowered; the values are the words used in output and metrics."""

    LOWER_NPROBE = "LOWER_NPROBE"
    FEWER_CANDIDATES = "FEWER_CANDIDATES"
    SKIP_RERANK = "SKIP_RERANK"
    PARTIAL_COVERAGE = "PARTIAL_COVERAGE"
    QUERY_MODEL_FALLBACK = "QUERY_MODEL_FALLBACK"


@dataclass(frozen=True, slots=True)
class Degradation:
    """One step that was taken, with a machine-readable reason in upper snake case."""

    step: DegradationStep
    reason: str
    detail: str = ""


def partial_coverage(coverage: Coverage) -> Degradation | None:
    """The degradation that missing shards amount to, or None when none is missing.

    The reason is that of the missing shards when they agree, SHARDS_MISSING otherwise.
    """
    if not coverage.missing:
        return None
    reasons = {shard.reason for shard in coverage.missing}
    reason = f"SHARDS_{reasons.pop().value}" if len(reasons) == 1 else "SHARDS_MISSING"
    detail = ", ".join(f"{shard.target}: {shard.reason.value}" for shard in coverage.missing)
    return Degradation(DegradationStep.PARTIAL_COVERAGE, reason, detail)
