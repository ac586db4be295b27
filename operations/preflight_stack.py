"""Checks of the running stack: health, what it measures, its budgets, and who is alerted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from operations.findings import Finding, failed, judged, unknown
from operations.preflight_subject import PreflightSubject

LEAST_SAMPLES = 100
BUDGETS_MS: Mapping[str, float] = {"RETRIEVAL": 8.0, "RERANK": 2.0, "TOTAL": 10.0}
"""P95 by stage, as the gateway sees it."""

HISTOGRAMS: Mapping[str, tuple[str, ...]] = {
    "gateway_stage_duration_seconds": ("0.002", "0.008", "0.01", "0.02"),
    "gateway_arm_duration_seconds": ("0.008", "0.01", "0.02"),
}
"""Histograms that have to be exported, and the bounds that percentiles are read off at."""

REQUIRED_ALERTS: Mapping[str, str] = {
    "RetrievalErrorRate": "critical",
    "RetrievalLatencyCritical": "critical",
    "RetrievalRecallCritical": "critical",
    "RetrievalLatencyHigh": "warning",
    "RetrievalRecallLow": "warning",
    "RetrievalRecallTrend": "warning",
    "RetrievalContainmentLow": "warning",
    "RerankerNotHelping": "info",
    "RetrievalMemoryGrowth": "info",
    "RetrievalCorpusGrowth": "info",
}
"""The alerts that a release is not shipped without, with their severity."""


def check_health(subject: PreflightSubject) -> Finding:
    """The gateway answers, nothing is missing, and it serves the release to ship."""
    health = subject.health
    served = str(health.get("version", ""))
    figure = f"{health.get('status')}, serves {served or 'nothing'}"
    errors = [
        str(text)
        for text in (health.get("arms_error"), (health.get("flags") or {}).get("error"))
        if text
    ]
    if served != subject.release.release_id:
        errors.append(f"{subject.release.release_id} is to be shipped")
    coverage = float(health.get("coverage") or 0.0)
    return judged(
        health.get("status") == "ok" and coverage == 1.0 and not errors, figure, "; ".join(errors)
    )


def check_histograms(subject: PreflightSubject) -> Finding:
    """Latencies are exported in buckets at which the limits can be read off."""
    missing = []
    for name, bounds in HISTOGRAMS.items():
        found = {
            float(sample.labels["le"])
            for sample in subject.samples
            if sample.name == f"{name}_bucket" and sample.labels["le"] != "+Inf"
        }
        if not found:
            missing.append(name)
        missing += [f"{name} le={bound}" for bound in bounds if found and float(bound) not in found]
    return judged(
        not missing,
        f"{len(HISTOGRAMS)} histograms",
        f"missing: {', '.join(missing)}" if missing else "P50, P95 and P99 are in /health too",
    )


def check_budgets(subject: PreflightSubject) -> Finding:
    """P95 of retrieval, rerank and the whole request, over enough recent requests."""
    stages: Mapping[str, Any] = subject.health.get("stages") or {}
    few = [
        f"{stage} {(stages.get(stage) or {}).get('count', 0)}"
        for stage in BUDGETS_MS
        if (stages.get(stage) or {}).get("count", 0) < LEAST_SAMPLES
    ]
    known = [stage for stage in BUDGETS_MS if stage in stages]
    figure = ", ".join(f"{stage} {stages[stage]['p95_ms']:.2f} ms" for stage in known)
    over = [stage for stage in known if stages[stage]["p95_ms"] > BUDGETS_MS[stage]]
    if few:
        return unknown(
            f"too few requests ({', '.join(few)}; {LEAST_SAMPLES} of each are needed)", figure
        )
    return judged(not over, figure, f"over budget: {', '.join(over)}" if over else "")


def check_alerts(subject: PreflightSubject) -> Finding:
    """The rules that Prometheus loads hold every alert, at its severity, with a runbook."""
    files = sorted(subject.paths.rules.glob("*.yml"))
    if not files:
        return failed("no rules", f"{subject.paths.rules} holds no *.yml")
    found: dict[str, Mapping[str, Any]] = {}
    for path in files:
        content = yaml.safe_load(path.read_text("utf-8"))
        for group in content.get("groups", []) if isinstance(content, dict) else []:
            found |= {rule["alert"]: rule for rule in group["rules"] if "alert" in rule}
    wrong = [
        f"{name} ({severity})"
        for name, severity in REQUIRED_ALERTS.items()
        if found.get(name, {}).get("labels", {}).get("severity") != severity
    ]
    without_runbook = [
        name
        for name in REQUIRED_ALERTS
        if name in found and not found[name].get("annotations", {}).get("runbook_url")
    ]
    detail = [f"missing: {', '.join(wrong)}"] if wrong else []
    detail += [f"without a runbook: {', '.join(without_runbook)}"] if without_runbook else []
    return judged(not detail, f"{len(found)} alerts", "; ".join(detail))
