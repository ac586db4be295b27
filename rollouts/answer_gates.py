"""Gates of the answers: near-duplicates, confidence, reranking, quality on a query set. Pure."""

from __future__ import annotations

import math

from evaluation.gates import if_enough
from evaluation.intervals import Interval, Verdict
from evaluation.metric_changes import Decision, decide
from rollouts.counts import ArmWindow
from rollouts.gate import GateVerdict, OnFail, gate_verdict, in_points
from rollouts.plan import Limits
from rollouts.statistics import Bounds, difference, share


def near_duplicate_gate(limits: Limits, canary: ArmWindow) -> GateVerdict:
    """Candidates that nearly repeat a better one, as a share."""
    found = _share_of_queries(canary, canary.near_duplicates, canary.candidates, limits.confidence)
    return gate_verdict(
        "near-duplicates",
        in_points(found),
        100 * limits.near_duplicate_ratio,
        in_points(found).at_most(100 * limits.near_duplicate_ratio),
        "% of candidates",
        OnFail.HOLD,
        f"{canary.near_duplicates:.0f} of {canary.candidates:.0f} candidates",
    )


def confidence_gate(limits: Limits, canary: ArmWindow, reference: ArmWindow) -> GateVerdict:
    """Answers with a hit above the calibrated cosine, against the baseline's."""
    own = share(canary.confident, canary.queries, limits.confidence)
    base = share(reference.confident, reference.queries, limits.confidence)
    change = in_points(difference(own, base))
    is_lost = change.high < -limits.confident_roll_back_pp
    return gate_verdict(
        "confident answers",
        change,
        -limits.confident_drop_pp,
        change.at_least(-limits.confident_drop_pp),
        "pp above baseline",
        OnFail.ROLL_BACK if is_lost else OnFail.HOLD,
        f"{_in_words(own)}, baseline {_in_words(base)}",
    )


def _in_words(found: Bounds) -> str:
    return "no answers" if math.isnan(found.figure) else f"{found.figure:.1%}"


def acceptance_gate(limits: Limits, canary: ArmWindow, reference: ArmWindow) -> GateVerdict:
    """How often reranking changes rank 1; 20 to 40 % are expected, and hardly ever helps nobody."""
    found = share(canary.rank1_changed, canary.reranked, limits.confidence)
    verdict = found.at_least(limits.least_rank1_change)
    detail = f"rank 1 changed in {canary.rank1_changed:.0f} of {canary.reranked:.0f} reranked"
    if not canary.reranked and canary.queries:
        # Where both go without it, that is how they are meant to be.
        verdict = Verdict.FAIL if reference.reranked else Verdict.PASS
        detail = (
            "nothing is reranked, on either arm"
            if verdict is Verdict.PASS
            else ("nothing is reranked, but the baseline is")
        )
    elif math.isfinite(found.figure) and not 0.20 <= found.figure <= 0.40:
        detail += "; 20 to 40 % are expected"
    return gate_verdict(
        "reranker acceptance",
        in_points(found),
        100 * limits.least_rank1_change,
        verdict,
        "% of reranked",
        OnFail.HOLD,
        detail,
    )


def quality_gate(
    limits: Limits, query_set: str, change_pp: Interval, query_count: int
) -> GateVerdict:
    """R@5 of the canary minus the baseline's, on the same queries, with its paired interval.

    Too few queries pass nothing.
    """
    change = Bounds(change_pp.mean, change_pp.low, change_pp.high)
    is_lost = change.high < -limits.quality_roll_back_pp
    verdict = if_enough(change.at_least(-limits.quality_drop_pp), query_count)
    advice = "" if verdict is not Verdict.FAIL else f": {_quality_advice(change.figure)}"
    return gate_verdict(
        f"R@5 on {query_set}",
        change,
        -limits.quality_drop_pp,
        verdict,
        "pp, paired",
        OnFail.ROLL_BACK if is_lost else OnFail.HOLD,
        f"{query_count} queries{advice}",
    )


def _quality_advice(change_pp: float) -> str:
    decision = decide(change_pp)
    return "tune before going on" if decision is Decision.TUNE else "too far below to go on"


def _share_of_queries(arm: ArmWindow, hits: float, total: float, confidence: float) -> Bounds:
    # The candidates of one query resemble each other, so that queries are what was sampled.
    if not total:
        return share(0, 0, confidence)
    return share(hits / total * arm.queries, arm.queries, confidence)
