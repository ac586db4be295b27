"""Is what a rollback left as it was before? Version, health and quality against a report. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.gates import combine
from evaluation.intervals import Verdict
from evaluation.metric_changes import DECIDING_MEASURE, MetricsComparison

TOTAL = "TOTAL"


@dataclass(frozen=True, slots=True)
class Check:
    """One question, its answer, and what was found."""

    name: str
    verdict: Verdict
    found: str


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """All checks; the verdict is the worst of them."""

    release: str
    checks: Sequence[Check]
    verdict: Verdict


def make_rollback_report(release: str, checks: Sequence[Check]) -> RollbackReport:
    """Sum the checks up."""
    return RollbackReport(release, checks, combine(check.verdict for check in checks))


def check_gateway(
    name: str, health: Mapping[str, Any], release: str, max_p95_ms: float | None
) -> list[Check]:
    """What one gateway's /health says: the release, nobody on a canary, all of it serving.

    P95 is judged where `max_p95_ms` is given, and shown anyway.
    """
    version = health.get("version")
    status = health.get("status")
    return [
        Check(f"{name}: version", _verdict(holds=version == release), f"{version}, want {release}"),
        Check(f"{name}: health", _verdict(holds=status == "ok"), str(status)),
        _check_canary(name, health),
        _check_errors(name, health),
        _check_p95(name, health, max_p95_ms),
    ]


def check_quality(comparison: MetricsComparison) -> list[Check]:
    """R@5 of every query set against the report of what was served before."""
    checks = []
    for each in comparison.query_sets:
        change = each.measures[DECIDING_MEASURE]
        difference = change.difference_pp
        found = (
            f"{change.before:.3f} to {change.after:.3f}: {difference.mean:+.2f} pp "
            f"({difference.low:+.2f} to {difference.high:+.2f}), limit -"
            f"{comparison.most_drop_pp:g} pp, {'paired' if each.is_paired else 'unpaired'}"
        )
        checks.append(Check(f"{DECIDING_MEASURE} on {each.name}", each.verdict, found))
    return checks


def _check_canary(name: str, health: Mapping[str, Any]) -> Check:
    canary = (health.get("arms") or {}).get("canary")
    percent = canary.get("percent", 0) if canary else 0
    found = f"{percent:g} % of the callers" if canary else "none"
    return Check(f"{name}: canary", _verdict(holds=percent == 0), found)


def _check_errors(name: str, health: Mapping[str, Any]) -> Check:
    flags = health.get("flags") or {}
    errors = [str(error) for error in (flags.get("error"), health.get("arms_error")) if error]
    return Check(
        f"{name}: flags and arms", _verdict(holds=not errors), "; ".join(errors) or "in force"
    )


def _check_p95(name: str, health: Mapping[str, Any], max_p95_ms: float | None) -> Check:
    stage = (health.get("stages") or {}).get(TOTAL)
    title = f"{name}: P95"
    if stage is None:
        verdict = Verdict.PASS if max_p95_ms is None else Verdict.INCONCLUSIVE
        return Check(title, verdict, "no requests yet")
    p95_ms, count = float(stage["p95_ms"]), int(stage["count"])
    limit = "not judged" if max_p95_ms is None else f"limit {max_p95_ms:g} ms"
    holds = max_p95_ms is None or p95_ms <= max_p95_ms
    return Check(
        title, _verdict(holds=holds), f"{p95_ms:.2f} ms over the last {count} requests, {limit}"
    )


def _verdict(*, holds: bool) -> Verdict:
    return Verdict.PASS if holds else Verdict.FAIL
