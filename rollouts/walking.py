"""Walks a rollout from step to step, and does what the figures of each step ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from evaluation.intervals import Verdict
from retrieval_core.errors import FailedPrecondition
from rollouts.counts import ArmWindow
from rollouts.decisions import Action, Decision
from rollouts.log import RolloutLog
from rollouts.plan import Step
from rollouts.quality import PairedQuality
from rollouts.sources import MetricsSource
from rollouts.stages import Stage
from rollouts.state import Outcome, RolloutState, StateFile
from rollouts.watching import StepWatch, Wait

Confirm = Callable[[str], bool]
"""Asks whether to do this; False leaves everything as it is."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Everything that a rollout needs; `confirm` is asked before anything is changed."""

    file: StateFile
    stage: Stage
    source: MetricsSource
    quality: PairedQuality | None
    log: RolloutLog
    confirm: Confirm
    clock: Callable[[], float]
    wait: Wait

    def run(self) -> RolloutState:
        """Walk on from where the state says until the rollout ends or is held.

        FailedPrecondition when it is ended from outside meanwhile. Errors of the stage leave the
        state running: `resume` goes on with the same step.
        """
        state = self.file.read()
        if not self.confirm(f"start {state.release} as canary, without callers"):
            return self._hold(state, _declined("starting the canary"))
        self.stage.begin()
        self.log.write("canary up", baseline=state.baseline)
        steps = state.scaled_plan.steps
        while state.outcome is Outcome.RUNNING and state.step < len(steps):
            state = self._walk_step(state, steps[state.step])
        return self._promote(state) if state.outcome is Outcome.RUNNING else state

    def abort(self, reason: str) -> RolloutState:
        """End the rollout now: everybody to the baseline."""
        state = replace(self.file.read(), outcome=Outcome.ABORTED, reason=reason)
        # The state first, so that whoever walks it stops before it sends anybody back.
        self.file.save(state)
        self.log.write("aborted", reason=reason)
        self.stage.roll_back()
        self.log.write("rolled back", baseline=state.baseline)
        return state

    def _walk_step(self, state: RolloutState, step: Step) -> RolloutState:
        if not self.confirm(f"send {step.percent:g} % of the callers to {state.release}"):
            return self._hold(state, _declined(f"going to {step.percent:g} %"))
        self.file.save(state)
        self.stage.set_percent(step.percent)
        self.log.write("step", percent=step.percent, watch_s=step.watch_s, until_s=step.until_s)
        watch = self._watch(state, step)
        return self._follow(state, step, watch.run(), watch.baseline())

    def _watch(self, state: RolloutState, step: Step) -> StepWatch:
        return StepWatch(
            plan=state.scaled_plan,
            step=step,
            source=self.source,
            quality=self.quality,
            log=self.log,
            clock=self.clock,
            wait=self._wait_unless_ended,
            reference=state.reference,
        )

    def _follow(
        self, state: RolloutState, step: Step, decision: Decision, baseline: ArmWindow
    ) -> RolloutState:
        decided = replace(state, verdict=decision.verdict.value, reason=decision.reason)
        if decision.action is Action.ADVANCE:
            further = replace(decided, step=state.step + 1, reference=baseline)
            self.file.save(further)
            return further
        if decision.verdict is Verdict.FAIL:
            # Kept for good: a later look that finds nothing wrong does not undo it.
            failure = f"at {step.percent:g} %: {decision.reason}"
            decided = replace(decided, failures=(*decided.failures, failure))
        if decision.action is Action.ROLL_BACK:
            return self._roll_back(decided)
        return self._hold(decided, decision)

    def _hold(self, state: RolloutState, decision: Decision) -> RolloutState:
        held = replace(
            state, outcome=Outcome.HELD, verdict=decision.verdict.value, reason=decision.reason
        )
        self.file.save(held)
        self.log.write("held", verdict=decision.verdict, reason=decision.reason)
        return held

    def _roll_back(self, state: RolloutState) -> RolloutState:
        if not self.confirm(f"roll back, since {state.reason}"):
            return self._hold(state, _declined("the rollback", state.reason))
        ended = replace(state, outcome=Outcome.ROLLED_BACK)
        self.file.save(ended)
        self.stage.roll_back()
        self.log.write("rolled back", baseline=state.baseline, reason=state.reason)
        return ended

    def _promote(self, state: RolloutState) -> RolloutState:
        if not self.confirm(f"make {state.release} the baseline, and the current release"):
            return self._hold(state, _declined("the promotion"))
        self.stage.promote()
        promoted = replace(state, outcome=Outcome.PROMOTED)
        self.file.save(promoted)
        self.log.write("promoted", before=state.baseline)
        return promoted

    def _wait_unless_ended(self, seconds: float) -> None:
        self.wait(seconds)
        outcome = self.file.outcome()
        if outcome.is_final:
            raise FailedPrecondition(
                f"the rollout was {outcome.value} by another process", reason="ROLLOUT_ENDED"
            )


def resumable(state: RolloutState, retry: str) -> RolloutState:
    """The state to go on with.

    FailedPrecondition for a rollout that has ended, and for one with a failed analysis unless
    `retry` says why it may be tried again.
    """
    if state.outcome.is_final:
        raise FailedPrecondition(
            f"the rollout of {state.release} was {state.outcome.value}; start a new one",
            reason="ROLLOUT_ENDED",
        )
    if state.failures and not retry:
        raise FailedPrecondition(
            f"an analysis failed {state.failures[-1]}. Once that is mended, --retry REASON begins "
            "a new one",
            reason="ANALYSIS_FAILED",
        )
    return replace(state, outcome=Outcome.RUNNING, failures=())


def _declined(what: str, because: str = "") -> Decision:
    reason = f"{what} was declined" + (f" though {because}" if because else "")
    return Decision(Action.HOLD, Verdict.INCONCLUSIVE, reason)
