"""Asks the gateways after a rollback, and evaluates through one of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.gateways import ask_health
from evaluation import metric_changes
from evaluation.clean import Service
from evaluation.intervals import DEFAULT_BOOTSTRAP, Verdict
from evaluation.metrics_files import Metrics, read_metrics
from evaluation.running import RunRequest, run_evaluation
from retrieval_core.errors import Unavailable
from rollouts.rollback_check import Check, check_gateway, check_quality
from rollouts.stack_addresses import GatewayAddresses, split_address


@dataclass(frozen=True, slots=True)
class Compare:
    """What quality is compared with, and how; `out` keeps the new report."""

    baseline: Path
    releases: Path
    query_sets: Sequence[Path]
    max_drop_pp: float
    out: Path | None = None


def check_all(
    before: Metrics,
    gateways: GatewayAddresses,
    compare: Compare,
    max_p95_ms: float | None,
    created: str,
) -> list[Check]:
    """Every check. Unavailable where a gateway does not answer.

    Quality is evaluated only where the right release answers: that of another one says nothing.
    """
    checks = [
        check
        for address in gateways.http
        for check in check_gateway(address, _health(address), before.release_id, max_p95_ms)
    ]
    if any(check.verdict is Verdict.FAIL for check in checks):
        return [*checks, Check("quality", Verdict.INCONCLUSIVE, "not evaluated: see above")]
    return [*checks, *_check_quality(before, gateways.grpc[0], compare, created)]


def _health(address: str) -> dict[str, object]:
    try:
        return ask_health(*split_address(address), timeout_s=5.0)
    except OSError as error:
        raise Unavailable(f"gateway at {address}: {error}", reason="NO_ANSWER") from error


def _check_quality(before: Metrics, address: str, compare: Compare, created: str) -> list[Check]:
    with tempfile.TemporaryDirectory() as scratch:
        # Hits files are needed for a moment, to pair what was asked with the report's own.
        out = compare.out or Path(scratch) / "after.json"
        run_evaluation(
            RunRequest(
                created=created,
                release=before.release_id,
                releases=compare.releases,
                query_sets=compare.query_sets,
                service=Service(address),
                out=out,
            )
        )
        old, new = (
            metric_changes.load_side(read_metrics(path), path.parent)
            for path in (compare.baseline, out)
        )
        comparison = metric_changes.compare_metrics(
            old, new, compare.max_drop_pp, DEFAULT_BOOTSTRAP
        )
    return check_quality(comparison)
