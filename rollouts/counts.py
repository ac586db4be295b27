"""What gateways counted: readings that only grow, and the window between two of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.samples import Sample

from rollouts.statistics import Histogram, histogram_of

BASELINE = "baseline"
CANARY = "canary"

REQUESTS = "gateway_arm_requests_total"
DURATION_BUCKETS = "gateway_arm_duration_seconds_bucket"
QUERIES = "gateway_arm_queries_total"
INCOMPLETE = "gateway_arm_incomplete_total"
CONFIDENT = "gateway_arm_confident_total"
RERANKED = "gateway_arm_reranked_total"
RANK1_CHANGED = "gateway_arm_rank1_changed_total"
CANDIDATES = "gateway_arm_candidates_total"
NEAR_DUPLICATES = "gateway_arm_near_duplicates_total"

SERIES = (
    REQUESTS,
    DURATION_BUCKETS,
    QUERIES,
    INCOMPLETE,
    CONFIDENT,
    RERANKED,
    RANK1_CHANGED,
    CANDIDATES,
    NEAR_DUPLICATES,
)
"""Every series that is read, all of them counters with the label `arm`."""

FAILURES = ("error", "refused")
"""Outcomes that are the service's own fault; a caller's bad input is not."""

Key = tuple[str, str, str]
"""Series, arm, and the label that tells series of one name apart: the outcome or the edge."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All counters at one moment, by gateway; `at_s` is monotonic."""

    at_s: float
    by_gateway: Mapping[str, Mapping[Key, float]]


@dataclass(frozen=True, slots=True)
class ArmWindow:
    """What one arm did between two readings.

    failed: of `requests`, those that the service failed to answer. durations: of the answered ones.
    queries: answered ones, which incomplete, confident, reranked and rank1_changed are shares of.
    """

    requests: float = 0.0
    failed: float = 0.0
    durations: Histogram = field(default_factory=lambda: histogram_of([]))
    queries: float = 0.0
    incomplete: float = 0.0
    confident: float = 0.0
    reranked: float = 0.0
    rank1_changed: float = 0.0
    candidates: float = 0.0
    near_duplicates: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """Both arms over the same stretch of time."""

    seconds: float
    baseline: ArmWindow
    canary: ArmWindow


def counters_of(samples: Iterable[Sample]) -> dict[Key, float]:
    """The counters of interest among the samples of one gateway."""
    found: dict[Key, float] = {}
    for sample in samples:
        arm = sample.labels.get("arm")
        if sample.name in SERIES and arm:
            part = sample.labels.get("outcome") or sample.labels.get("le") or ""
            found[sample.name, arm, part] = sample.value
    return found


def window_between(before: Reading, after: Reading) -> Window:
    """What was counted from one reading to the next.

    A counter that is lower than before began anew with its gateway: all of it is new. What a
    gateway counted that is gone is lost, which can only make a window smaller.
    """
    grown: Counts = {}
    for gateway, counters in after.by_gateway.items():
        old = before.by_gateway.get(gateway, {})
        is_restarted = any(value < old.get(key, 0.0) for key, value in counters.items())
        for key, value in counters.items():
            series, arm, part = key
            parts = grown.setdefault((series, arm), {})
            start = 0.0 if is_restarted else old.get(key, 0.0)
            parts[part] = parts.get(part, 0.0) + value - start
    return Window(after.at_s - before.at_s, _arm(grown, BASELINE), _arm(grown, CANARY))


Counts = dict[tuple[str, str], dict[str, float]]
"""By series and arm: the counts by outcome or edge."""


def _arm(grown: Counts, arm: str) -> ArmWindow:
    def parts(series: str) -> dict[str, float]:
        return grown.get((series, arm), {})

    outcomes = parts(REQUESTS)
    edges = parts(DURATION_BUCKETS)
    return ArmWindow(
        requests=sum(count for outcome, count in outcomes.items() if outcome != "invalid"),
        failed=sum(outcomes.get(outcome, 0.0) for outcome in FAILURES),
        durations=histogram_of([(_edge(edge), count) for edge, count in edges.items()]),
        queries=sum(parts(QUERIES).values()),
        incomplete=sum(parts(INCOMPLETE).values()),
        confident=sum(parts(CONFIDENT).values()),
        reranked=sum(parts(RERANKED).values()),
        rank1_changed=sum(parts(RANK1_CHANGED).values()),
        candidates=sum(parts(CANDIDATES).values()),
        near_duplicates=sum(parts(NEAR_DUPLICATES).values()),
    )


def _edge(text: str) -> float:
    return math.inf if text == "+Inf" else float(text)
