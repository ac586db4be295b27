"""Watches one step: reads figures again and again until they decide it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from evaluation.intervals import Verdict
from retrieval_core.errors import RetrievalError, Unavailable
from rollouts.answer_gates import quality_gate
from rollouts.counts import ArmWindow, Reading, Window, window_between
from rollouts.decisions import Action, Decision, decide, decide_early, give_up_watching
from rollouts.gate import GateVerdict, unmeasured
from rollouts.log import RolloutLog
from rollouts.plan import Plan, Step
from rollouts.quality import PairedQuality
from rollouts.service_gates import recent_traffic_gate, service_gates
from rollouts.sources import MetricsSource
from rollouts.verdicts import judge, stricter

Wait = Callable[[float], None]
"""Lets this many seconds pass; raises to end the rollout."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a decision is made by. `recent` is the last part of `whole`."""

    whole: Window
    recent: Window


@dataclass(slots=True)
class StepWatch:
    """The watch of one step, from its first reading on; times in real seconds.

    reference: the baseline of an earlier step, for one that leaves the baseline without callers.
    """

    plan: Plan
    step: Step
    source: MetricsSource
    quality: PairedQuality | None
    log: RolloutLog
    clock: Callable[[], float]
    wait: Wait
    reference: ArmWindow = field(default_factory=ArmWindow)
    _readings: list[Reading] = field(init=False, default_factory=list)
    _quality_gates: list[GateVerdict] = field(init=False, default_factory=list)
    _blind_since_s: float | None = field(init=False, default=None)

    def run(self) -> Decision:
        """Watch until the step is over; the decision is ADVANCE, HOLD or ROLL_BACK.

        A decision is made when the watch has lasted and, where the step lasts longer, once more at
        its end. In between only what asks for a rollback is acted on.
        """
        began_s = self.clock()
        for due_s in sorted({self.step.watch_s, self.step.until_s}):
            decision = self._decide_at(began_s + due_s)
            if decision.action is not Action.ADVANCE:
                return decision
        return decision

    def baseline(self) -> ArmWindow:
        """What the baseline did over the step; that of the earlier one where it had no callers."""
        figures = self._figures()
        return self.reference if figures is None else self._reference(figures.whole)

    def _decide_at(self, due_s: float) -> Decision:
        """Watch until `due_s`, and on for as long as patience lasts where nothing is settled."""
        while True:
            decision = self._look(is_due=self.clock() >= due_s)
            if decision is not None and decision.action is not Action.WATCH_ON:
                return decision
            late_s = self.clock() - due_s
            if decision is not None and late_s >= self.plan.hold_s:
                return self._give_up(decision, late_s)
            self.wait(self._next_look_s(due_s))

    def _next_look_s(self, due_s: float) -> float:
        left_s = due_s - self.clock()
        return min(self.plan.check_every_s, left_s) if left_s > 0 else self.plan.check_every_s

    def _look(self, *, is_due: bool) -> Decision | None:
        """One look; None where there is nothing to decide yet."""
        try:
            self._readings.append(self.source.read())
        except RetrievalError as error:
            return self._cannot_measure(error)
        self._blind_since_s = None
        figures = self._figures()
        if figures is None:
            return None
        if early := decide_early(self._service_gates(figures)):
            self.log.decision(self.step.percent, early, self._service_gates(figures), figures.whole)
            return early
        return self._judge(figures) if is_due else None

    def _judge(self, figures: Figures) -> Decision:
        gates = self._gates(figures)
        if self.step.quality and not any(gate.verdict is Verdict.FAIL for gate in gates):
            gates += self._measured_quality()
        decision = decide(gates)
        self.log.decision(self.step.percent, decision, gates, figures.whole)
        return decision

    def _service_gates(self, figures: Figures) -> list[GateVerdict]:
        # Looked at again and again, so that chance has many chances to make one of them fail.
        limits = self.plan.limits.strict()
        reference = self._reference(figures.whole)
        return stricter(
            service_gates(limits, figures.whole.canary, reference),
            service_gates(limits, figures.recent.canary, reference),
        )

    def _gates(self, figures: Figures) -> list[GateVerdict]:
        reference = self._reference(figures.whole)
        whole = judge(self.step, self.plan.limits, figures.whole, reference)
        recent = judge(self.step, self.plan.limits.strict(), figures.recent, reference)
        return [*stricter(whole, recent), recent_traffic_gate(figures.recent)]

    def _reference(self, window: Window) -> ArmWindow:
        return self.reference if self.step.percent >= 100 else window.baseline

    def _figures(self) -> Figures | None:
        if len(self._readings) < 2:
            return None
        first, last = self._readings[0], self._readings[-1]
        due_s = last.at_s - self.plan.recent_s
        # Of the readings of long ago only the first is needed, and the newest of them.
        while len(self._readings) > 2 and self._readings[2].at_s <= due_s:
            del self._readings[1]
        recent = self._readings[1] if self._readings[1].at_s <= due_s else first
        return Figures(window_between(first, last), window_between(recent, last))

    def _measured_quality(self) -> list[GateVerdict]:
        # Once a step: repeated until it passes, it would pass by chance.
        if not self._quality_gates:
            measured = self._measure_quality()
            if any(gate.verdict is Verdict.ERROR for gate in measured):
                return measured
            self._quality_gates = measured
        return self._quality_gates

    def _measure_quality(self) -> list[GateVerdict]:
        if self.quality is None:
            return [unmeasured("paired quality", "there is nothing to measure it with")]
        try:
            changes = self.quality.measure(self.step.percent)
        except RetrievalError as error:
            return [unmeasured("paired quality", error.message)]
        return [
            quality_gate(self.plan.limits, name, found.change_pp, found.query_count)
            for name, found in changes.items()
        ]

    def _cannot_measure(self, error: RetrievalError) -> Decision:
        gate = unmeasured("figures", f"{self.source.name}: {error.message}")
        decision = Decision(Action.WATCH_ON, Verdict.ERROR, gate.detail)
        self.log.decision(self.step.percent, decision, [gate], None)
        now_s = self.clock()
        if self._blind_since_s is None:
            self._blind_since_s = now_s
        blind_s = now_s - self._blind_since_s
        return self._give_up(decision, blind_s) if blind_s >= self.plan.error_s else decision

    def _give_up(self, decision: Decision, waited_s: float) -> Decision:
        held = give_up_watching(decision, waited_s)
        self.log.write(
            "patience over", percent=self.step.percent, verdict=held.verdict, reason=held.reason
        )
        return held


def read_first(source: MetricsSource) -> Reading:
    """One reading, to see that figures can be had at all. Unavailable where they cannot."""
    reading = source.read()
    if not any(reading.by_gateway.values()):
        raise Unavailable(f"{source.name} counts nothing by arm", reason="NO_SERIES")
    return reading
