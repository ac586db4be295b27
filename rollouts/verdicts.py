"""The gates of a rollout: figures of a window held against the limits. Pure; nothing is asked here.

PASS and FAIL only where the figures settle it; INCONCLUSIVE where they are too few or a limit lies
between their bounds. No traffic is never a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evaluation.intervals import Verdict
from rollouts.answer_gates import acceptance_gate, confidence_gate, near_duplicate_gate
from rollouts.counts import ArmWindow, Window
from rollouts.gate import GateVerdict
from rollouts.plan import Limits, Step
from rollouts.service_gates import service_gates, traffic_gate


def judge(step: Step, limits: Limits, window: Window, reference: ArmWindow) -> list[GateVerdict]:
    """Every gate of the step. `reference` is the baseline to compare with.

    It is that of the window, or of an earlier one where the baseline has no callers left. With
    fewer than the least requests nothing passes, and only what is beyond doubt fails.
    """
    canary = window.canary
    if canary.requests >= limits.least_requests:
        return [traffic_gate(limits, canary), *_figures(step, limits, canary, reference)]
    sure = _figures(step, limits.strict(), canary, reference)
    return [traffic_gate(limits, canary), *map(_unless_failed, sure)]


def _figures(
    step: Step, limits: Limits, canary: ArmWindow, reference: ArmWindow
) -> list[GateVerdict]:
    gates = [*service_gates(limits, canary, reference), near_duplicate_gate(limits, canary)]
    if step.answers:
        gates.append(confidence_gate(limits, canary, reference))
        gates.append(acceptance_gate(limits, canary, reference))
    return gates


def _unless_failed(gate: GateVerdict) -> GateVerdict:
    return replace(gate, verdict=Verdict.INCONCLUSIVE) if gate.verdict is Verdict.PASS else gate


def stricter(first: Sequence[GateVerdict], recent: Sequence[GateVerdict]) -> list[GateVerdict]:
    """The gates of a whole step, and what fails of them in its recent part alone."""
    failed = {gate.gate: gate for gate in recent if gate.verdict is Verdict.FAIL}
    kept = []
    for gate in first:
        worse = failed.get(gate.gate)
        if worse is None or gate.verdict is Verdict.FAIL:
            kept.append(gate)
        else:
            kept.append(replace(worse, detail=f"{worse.detail}; lately, not over the whole step"))
    return kept
