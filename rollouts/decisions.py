"""From verdicts to what is done next. Pure.

A failed gate is never outvoted, and what is unknown never advances a rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from evaluation.gates import combine
from evaluation.intervals import Verdict
from rollouts.gate import GateVerdict, OnFail


class Action(StrEnum):
    """What a decision asks for."""

    ADVANCE = "advance"
    WATCH_ON = "watch on"
    HOLD = "hold"
    ROLL_BACK = "roll back"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done, the verdict it follows from, and why in one line."""

    action: Action
    verdict: Verdict
    reason: str


def decide(gates: Sequence[GateVerdict]) -> Decision:
    """At the end of a step's watch.

    Any FAIL ends the advance: ROLL_BACK where a failed gate asks for it, else HOLD. ERROR and
    INCONCLUSIVE watch on, until the caller's patience ends. ADVANCE only when every gate passes.
    """
    verdict = combine(gate.verdict for gate in gates)
    if failed := [gate for gate in gates if gate.verdict is Verdict.FAIL]:
        return _on_failure(failed)
    if verdict is Verdict.PASS:
        return Decision(Action.ADVANCE, verdict, "every gate passes")
    open_gates = [gate for gate in gates if gate.verdict is verdict]
    return Decision(Action.WATCH_ON, verdict, _sentence(open_gates))


def decide_early(gates: Sequence[GateVerdict]) -> Decision | None:
    """While a step is watched: only what asks for a rollback does not wait for the end."""
    urgent = [
        gate for gate in gates if gate.verdict is Verdict.FAIL and gate.on_fail is OnFail.ROLL_BACK
    ]
    return _on_failure(urgent) if urgent else None


def give_up_watching(decision: Decision, waited_s: float) -> Decision:
    """Patience is over: hold, for the reason that kept it from advancing."""
    return Decision(
        Action.HOLD, decision.verdict, f"after {waited_s:.0f} s more of watching: {decision.reason}"
    )


def _on_failure(failed: Sequence[GateVerdict]) -> Decision:
    ends = [gate for gate in failed if gate.on_fail is OnFail.ROLL_BACK]
    if ends:
        return Decision(Action.ROLL_BACK, Verdict.FAIL, _sentence(ends))
    return Decision(Action.HOLD, Verdict.FAIL, _sentence(failed))


def _sentence(gates: Sequence[GateVerdict]) -> str:
    return "; ".join(describe(gate) for gate in gates)


def describe(gate: GateVerdict) -> str:
    """One gate in words with its figures."""
    text = f"{gate.gate}: {gate.verdict.value}"
    if gate.figure is not None:
        text += f", {gate.figure:.4g}"
        if gate.low is not None and gate.high is not None:
            text += f" ({gate.low:.4g} to {gate.high:.4g})"
        text += f" {gate.unit}, limit {gate.limit:g}"
    return f"{text}: {gate.detail}" if gate.detail else text
