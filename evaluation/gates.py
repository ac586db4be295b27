"""The ship gate: figures, the limits they are held against, and what follows for the command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evaluation.intervals import Interval, Verdict
from retrieval_core.vectors import UNIT_NORM_TOLERANCE

LEAST_R_AT_5 = 0.30
LEAST_MRR = 0.20
LEAST_CONTAIN_AT_50 = 0.82
LEAST_AGREEMENT = 0.95
AGREEMENT_DEPTH = 10
LEAST_QUERIES = 30
LEAST_ARTICLES = 10
"""With fewer there is nothing to resample: an interval may be a point by mere luck."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """One figure held against its limit; `detail` says what cannot be read off the figures."""

    name: str
    figure: float | None
    limit: float
    verdict: Verdict
    low: float | None = None
    high: float | None = None
    detail: str = ""


def gate_at_least(name: str, figure: Interval, limit: float) -> GateResult:
    """PASS when the whole interval reaches the limit, FAIL when none of it does."""
    return GateResult(
        name, figure.mean, limit, figure.verdict_at_least(limit), figure.low, figure.high
    )


def either(name: str, gates: Sequence[GateResult]) -> GateResult:
    """Passes with any of `gates`, fails when all do; the figures shown are the best gate's."""
    order = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.FAIL)
    best = min(gates, key=lambda gate: order.index(gate.verdict))
    detail = " or ".join(f"{gate.name} >= {gate.limit:g}" for gate in gates)
    return GateResult(
        name, best.figure, best.limit, best.verdict, best.low, best.high, f"{detail}: {best.name}"
    )


def quality_gate(r_at_5: Interval, mrr: Interval) -> GateResult:
    """R@5 >= 0.30 or MRR >= 0.20."""
    return either(
        "R@5 or MRR",
        [gate_at_least("R@5", r_at_5, LEAST_R_AT_5), gate_at_least("MRR", mrr, LEAST_MRR)],
    )


def norm_gate(name: str, deviation: float | None) -> GateResult:
    """Worst abs(norm - 1) below 1e-5; INCONCLUSIVE where no vector was seen. NaN fails."""
    if deviation is None:
        return GateResult(
            name, None, UNIT_NORM_TOLERANCE, Verdict.INCONCLUSIVE, detail="not measured"
        )
    verdict = Verdict.PASS if deviation < UNIT_NORM_TOLERANCE else Verdict.FAIL
    return GateResult(name, deviation, UNIT_NORM_TOLERANCE, verdict)


def condition(name: str, *, holds: bool, detail: str) -> GateResult:
    """What has to be so for the other figures to mean anything: INCONCLUSIVE otherwise."""
    verdict = Verdict.PASS if holds else Verdict.INCONCLUSIVE
    return GateResult(name, None, 1.0, verdict, detail=detail)


def enough_queries(query_count: int, article_count: int) -> GateResult:
    """INCONCLUSIVE where too little was asked for intervals to mean anything."""
    return condition(
        "enough queries",
        holds=query_count >= LEAST_QUERIES and article_count >= LEAST_ARTICLES,
        detail=f"{query_count} queries of {article_count} articles, needed are {LEAST_QUERIES} "
        f"of {LEAST_ARTICLES}",
    )


def if_enough(verdict: Verdict, query_count: int) -> Verdict:
    """The verdict, but no pass on fewer than LEAST_QUERIES queries."""
    if verdict is Verdict.PASS and query_count < LEAST_QUERIES:
        return Verdict.INCONCLUSIVE
    return verdict


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst: ERROR, then FAIL, then INCONCLUSIVE. Nothing at all is INCONCLUSIVE."""
    found = set(verdicts)
    for verdict in (Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE):
        if verdict in found:
            return verdict
    return Verdict.PASS if found else Verdict.INCONCLUSIVE
