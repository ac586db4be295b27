"""Gates of the service itself: enough traffic, errors, coverage, times. Pure."""

from __future__ import annotations

import math

from evaluation.intervals import Verdict
from rollouts.counts import ArmWindow, Window
from rollouts.gate import GateVerdict, OnFail, gate_verdict, in_ms, in_points
from rollouts.plan import Limits
from rollouts.statistics import Bounds, difference, percentile, ratio, share

P95 = 0.95


def service_gates(limits: Limits, canary: ArmWindow, reference: ArmWindow) -> list[GateVerdict]:
    """Errors, coverage and times."""
    return [
        error_gate(limits, canary, reference),
        coverage_gate(limits, canary, reference),
        within_gate("P95 to roll back", limits.p95_roll_back_ms, OnFail.ROLL_BACK, limits, canary),
        within_gate("P95", limits.p95_ms, OnFail.HOLD, limits, canary),
        latency_rise_gate(limits, canary, reference),
    ]


def traffic_gate(limits: Limits, canary: ArmWindow) -> GateVerdict:
    """Enough requests to say anything; too few are INCONCLUSIVE, whatever else was counted."""
    is_enough = canary.requests >= limits.least_requests
    return GateVerdict(
        "requests",
        Verdict.PASS if is_enough else Verdict.INCONCLUSIVE,
        canary.requests,
        None,
        None,
        limits.least_requests,
        "requests",
        OnFail.HOLD,
        "of the canary",
    )


def recent_traffic_gate(recent: Window) -> GateVerdict:
    """The canary had callers to the end: what it did before traffic stopped is no pass."""
    count = recent.canary.requests
    return GateVerdict(
        "recent requests",
        Verdict.PASS if count > 0 else Verdict.INCONCLUSIVE,
        count,
        None,
        None,
        1,
        "requests",
        OnFail.HOLD,
        f"of the canary in the last {recent.seconds:.0f} s",
    )


def error_gate(limits: Limits, canary: ArmWindow, reference: ArmWindow) -> GateVerdict:
    """Failed requests against the baseline's."""
    own = share(canary.failed, canary.requests, limits.confidence)
    base = share(reference.failed, reference.requests, limits.confidence)
    rise = in_points(difference(own, base))
    verdict = rise.at_most(limits.error_rise_pp)
    if verdict is Verdict.FAIL and canary.failed < limits.least_failures:
        # One or two among few look like a high rate, and are nothing but bad luck too often.
        verdict = Verdict.INCONCLUSIVE
    return gate_verdict(
        "error rate",
        rise,
        limits.error_rise_pp,
        verdict,
        "pp above baseline",
        OnFail.ROLL_BACK,
        f"{canary.failed:.0f} of {canary.requests:.0f} failed, "
        f"of the baseline {reference.failed:.0f} of {reference.requests:.0f}",
    )


def coverage_gate(limits: Limits, canary: ArmWindow, reference: ArmWindow) -> GateVerdict:
    """Answers that lack a shard against the baseline's: no error, and yet not what was asked."""
    own = share(canary.incomplete, canary.queries, limits.confidence)
    base = share(reference.incomplete, reference.queries, limits.confidence)
    rise = in_points(difference(own, base))
    return gate_verdict(
        "coverage",
        rise,
        limits.incomplete_rise_pp,
        rise.at_most(limits.incomplete_rise_pp),
        "pp above baseline",
        OnFail.ROLL_BACK,
        f"{canary.incomplete:.0f} of {canary.queries:.0f} answers lack a shard, "
        f"of the baseline {reference.incomplete:.0f} of {reference.queries:.0f}",
    )


def within_gate(
    name: str, limit_ms: float, on_fail: OnFail, limits: Limits, canary: ArmWindow
) -> GateVerdict:
    """P95 itself against a limit."""
    # P95 <= limit says the same as: at least 95 % within the limit. Of the latter the counts are
    # exact where the limit is an edge of the histogram.
    durations = canary.durations
    found = share(durations.within(limit_ms / 1e3), durations.total, limits.confidence)
    p95 = percentile(durations, P95, limits.confidence)
    return gate_verdict(
        name,
        in_ms(p95),
        limit_ms,
        found.at_least(P95),
        "ms",
        on_fail,
        _within_detail(found, limit_ms, durations.total),
    )


def latency_rise_gate(limits: Limits, canary: ArmWindow, reference: ArmWindow) -> GateVerdict:
    """P95 against the baseline's."""
    own = percentile(canary.durations, P95, limits.confidence)
    base = percentile(reference.durations, P95, limits.confidence)
    rise = ratio(own, base)
    return gate_verdict(
        "P95 against baseline",
        rise,
        limits.p95_rise_ratio,
        rise.at_most(limits.p95_rise_ratio),
        "times",
        OnFail.HOLD,
        f"{_in_words(own)}, baseline {_in_words(base)}",
    )


def _within_detail(found: Bounds, limit_ms: float, total: float) -> str:
    if not total:
        return "no answers"
    if math.isnan(found.figure):
        return f"{limit_ms:g} ms is beyond the last edge of the histogram"
    return f"{found.figure:.1%} of {total:.0f} answers within {limit_ms:g} ms"


def _in_words(p95: Bounds) -> str:
    return "no answers" if math.isnan(p95.figure) else f"{1e3 * p95.figure:.2f} ms"
