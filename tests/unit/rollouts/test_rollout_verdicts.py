from __future__ import annotations

import dataclasses

import pytest

from evaluation.intervals import Interval, Verdict
from rollouts.answer_gates import quality_gate
from rollouts.counts import ArmWindow
from rollouts.decisions import Action, Decision, decide, decide_early, describe, give_up_watching
from rollouts.gate import GateVerdict, OnFail, unmeasured
from rollouts.plan import Limits, Step
from rollouts.service_gates import recent_traffic_gate, service_gates
from rollouts.verdicts import judge, stricter
from tests.unit.rollouts.arms import arm, window

LIMITS = Limits()
STEP = Step(25, watch_s=60, until_s=60, answers=True)


def gates_of(canary: ArmWindow, baseline: ArmWindow | None = None) -> dict[str, GateVerdict]:
    found = window(canary, baseline)
    return {gate.gate: gate for gate in judge(STEP, LIMITS, found, found.baseline)}


def verdicts(canary: ArmWindow, baseline: ArmWindow | None = None) -> dict[str, Verdict]:
    return {name: gate.verdict for name, gate in gates_of(canary, baseline).items()}


def decision(canary: ArmWindow, baseline: ArmWindow | None = None) -> Decision:
    return decide(list(gates_of(canary, baseline).values()))


def test_a_canary_like_the_baseline_passes_every_gate() -> None:
    assert set(verdicts(arm()).values()) == {Verdict.PASS}
    assert decision(arm()).action is Action.ADVANCE


def test_without_requests_nothing_passes() -> None:
    found = verdicts(ArmWindow())
    assert set(found.values()) == {Verdict.INCONCLUSIVE}
    outcome = decision(ArmWindow())
    assert (outcome.action, outcome.verdict) == (Action.WATCH_ON, Verdict.INCONCLUSIVE)


def test_few_requests_pass_nothing_however_good_they_are() -> None:
    assert Verdict.PASS not in verdicts(arm(requests=99)).values()
    assert decision(arm(requests=99)).action is Action.WATCH_ON


def test_few_requests_fail_only_beyond_doubt() -> None:
    assert verdicts(arm(requests=60, failed=1))["error rate"] is Verdict.INCONCLUSIVE
    assert verdicts(arm(requests=60, failed=30))["error rate"] is Verdict.FAIL


def test_one_or_two_failures_decide_nothing() -> None:
    assert verdicts(arm(requests=100, failed=2))["error rate"] is Verdict.INCONCLUSIVE
    assert verdicts(arm(requests=100, failed=3))["error rate"] is Verdict.FAIL


@pytest.mark.parametrize(
    ("failed", "of_baseline", "verdict"),
    [
        (0, 0, Verdict.PASS),
        # 0.05 pp above with 10,000 of each: the bounds stay within 0.2 pp.
        (15, 10, Verdict.PASS),
        (33, 10, Verdict.INCONCLUSIVE),
        (60, 10, Verdict.FAIL),
        # As bad as the baseline is no fault of the canary.
        (300, 400, Verdict.PASS),
    ],
)
def test_errors_are_held_against_those_of_the_baseline(
    failed: int, of_baseline: int, verdict: Verdict
) -> None:
    assert verdicts(arm(failed=failed), arm(failed=of_baseline))["error rate"] is verdict


def test_errors_end_a_rollout() -> None:
    outcome = decision(arm(failed=500))
    assert (outcome.action, outcome.verdict) == (Action.ROLL_BACK, Verdict.FAIL)
    assert "error rate: FAIL" in outcome.reason
    assert "500 of 10000 failed" in outcome.reason


@pytest.mark.parametrize(
    ("slower", "p95", "action"),
    [
        (0.03, Verdict.PASS, Action.ADVANCE),
        # Every figure says 5 % are too slow: with these counts that is not settled.
        (0.05, Verdict.INCONCLUSIVE, Action.WATCH_ON),
        (0.10, Verdict.FAIL, Action.HOLD),
    ],
)
def test_p95_above_10_ms_holds(slower: float, p95: Verdict, action: Action) -> None:
    canary = arm(slower_than_8ms=slower)
    # The baseline is as slow, so that this is about the limit alone.
    found = gates_of(canary, canary)
    assert found["P95"].verdict is p95
    assert decide(list(found.values())).action is action


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(0.01, Verdict.PASS), (0.05, Verdict.INCONCLUSIVE), (1.0, Verdict.FAIL)],
)
def test_a_canary_that_lacks_a_shard_ends_a_rollout(ratio: float, verdict: Verdict) -> None:
    gate = gates_of(arm(incomplete_ratio=ratio))["coverage"]
    assert gate.verdict is verdict
    assert gate.on_fail is OnFail.ROLL_BACK


def test_answers_that_lack_a_shard_in_both_arms_are_not_the_canarys_fault() -> None:
    both = arm(incomplete_ratio=0.5)
    assert gates_of(both, both)["coverage"].verdict is Verdict.PASS


def test_p95_above_20_ms_ends_a_rollout() -> None:
    outcome = decision(arm(slower_than_20ms=0.2))
    assert outcome.action is Action.ROLL_BACK
    assert outcome.reason.startswith("P95 to roll back: FAIL")


def test_latency_creep_is_held_though_within_10_ms() -> None:
    slow = arm()
    slow = dataclasses.replace(
        slow,
        durations=dataclasses.replace(
            slow.durations, counts=(0, 0, 0, 10_000, 10_000, 10_000, 10_000, 10_000)
        ),
    )
    found = gates_of(slow)
    assert found["P95"].verdict is Verdict.PASS
    assert found["P95 against baseline"].verdict is Verdict.FAIL
    assert decide(list(found.values())).action is Action.HOLD


def test_times_say_in_milliseconds_what_was_measured() -> None:
    gate = gates_of(arm(slower_than_20ms=0.2))["P95"]
    assert gate.unit == "ms"
    assert gate.figure is not None
    assert 20 < gate.figure < 50
    assert "80.0% of 10000 answers within 10 ms" in gate.detail


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(0.01, Verdict.PASS), (0.0295, Verdict.INCONCLUSIVE), (0.05, Verdict.FAIL)],
)
def test_near_duplicates_above_3_percent_hold(ratio: float, verdict: Verdict) -> None:
    found = gates_of(arm(near_duplicate_ratio=ratio))
    assert found["near-duplicates"].verdict is verdict
    assert found["near-duplicates"].on_fail is OnFail.HOLD


def test_candidates_of_one_query_are_not_counted_as_if_independent() -> None:
    # 500 candidates of 10 queries: no near-duplicate among them says little about the rest.
    limits = dataclasses.replace(LIMITS, least_requests=1)
    found = window(arm(requests=10, near_duplicate_ratio=0.0))
    by_name = {gate.gate: gate for gate in judge(STEP, limits, found, found.baseline)}
    assert by_name["near-duplicates"].verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("ratio", "verdict", "on_fail"),
    [
        (0.80, Verdict.PASS, OnFail.HOLD),
        (0.77, Verdict.INCONCLUSIVE, OnFail.HOLD),
        (0.73, Verdict.FAIL, OnFail.HOLD),
        (0.40, Verdict.FAIL, OnFail.ROLL_BACK),
    ],
)
def test_fewer_confident_answers_hold_and_far_fewer_roll_back(
    ratio: float, verdict: Verdict, on_fail: OnFail
) -> None:
    gate = gates_of(arm(confident_ratio=ratio))["confident answers"]
    assert (gate.verdict, gate.on_fail) == (verdict, on_fail)


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(0.3, Verdict.PASS), (0.10, Verdict.INCONCLUSIVE), (0.05, Verdict.FAIL)]
)
def test_a_reranker_that_changes_nothing_does_not_help(ratio: float, verdict: Verdict) -> None:
    assert verdicts(arm(rank1_changed_ratio=ratio))["reranker acceptance"] is verdict


def test_acceptance_outside_of_what_is_expected_is_said() -> None:
    assert "20 to 40 %" in gates_of(arm(rank1_changed_ratio=0.6))["reranker acceptance"].detail
    assert "20 to 40 %" not in gates_of(arm())["reranker acceptance"].detail


def test_going_without_a_reranker_is_right_only_where_both_do() -> None:
    without = arm(reranked_ratio=0.0)
    assert verdicts(without, without)["reranker acceptance"] is Verdict.PASS
    assert verdicts(without, arm())["reranker acceptance"] is Verdict.FAIL


def test_answers_are_judged_only_where_the_step_says_so() -> None:
    found = window(arm(confident_ratio=0.1))
    names = {gate.gate for gate in judge(Step(5, 60, 60), LIMITS, found, found.baseline)}
    assert "confident answers" not in names
    assert "near-duplicates" in names


@pytest.mark.parametrize(
    ("change", "verdict", "on_fail"),
    [
        (Interval(0.0, 0.0, 0.0), Verdict.PASS, OnFail.HOLD),
        (Interval(-1.0, -1.9, -0.2), Verdict.PASS, OnFail.HOLD),
        (Interval(-2.0, -4.0, 0.0), Verdict.INCONCLUSIVE, OnFail.HOLD),
        (Interval(-3.5, -4.5, -2.5), Verdict.FAIL, OnFail.HOLD),
        (Interval(-7.0, -9.0, -5.0), Verdict.FAIL, OnFail.HOLD),
        (Interval(-30.0, -40.0, -20.0), Verdict.FAIL, OnFail.ROLL_BACK),
    ],
)
def test_paired_quality(change: Interval, verdict: Verdict, on_fail: OnFail) -> None:
    gate = quality_gate(LIMITS, "questions", change, 300)
    assert (gate.verdict, gate.on_fail) == (verdict, on_fail)


def test_a_drop_is_told_to_be_tuned_or_too_far() -> None:
    assert "tune" in quality_gate(LIMITS, "q", Interval(-3.5, -4.5, -2.5), 300).detail
    assert "too far" in quality_gate(LIMITS, "q", Interval(-7.0, -9.0, -5.0), 300).detail


def test_a_handful_of_queries_passes_no_quality() -> None:
    same = Interval(0.0, 0.0, 0.0)
    assert quality_gate(LIMITS, "q", same, 29).verdict is Verdict.INCONCLUSIVE
    assert quality_gate(LIMITS, "q", same, 30).verdict is Verdict.PASS


def test_traffic_that_has_stopped_keeps_a_good_step_from_passing() -> None:
    gates = [*gates_of(arm()).values(), recent_traffic_gate(window(ArmWindow()))]
    outcome = decide(gates)
    assert (outcome.action, outcome.verdict) == (Action.WATCH_ON, Verdict.INCONCLUSIVE)
    assert "recent requests" in outcome.reason


def test_what_fails_lately_fails_though_the_whole_step_looks_good() -> None:
    whole = service_gates(LIMITS, arm(requests=100_000, failed=30), arm(requests=100_000))
    recent = service_gates(LIMITS.strict(), arm(requests=300, failed=30), arm())
    assert decide(whole).action is Action.ADVANCE
    combined = stricter(whole, recent)
    assert decide(combined).action is Action.ROLL_BACK
    assert "lately" in decide(combined).reason


def test_what_cannot_be_measured_advances_nothing_and_outvotes_no_failure() -> None:
    blind = unmeasured("paired quality", "no query set")
    outcome = decide([*gates_of(arm()).values(), blind])
    assert (outcome.action, outcome.verdict) == (Action.WATCH_ON, Verdict.ERROR)
    failed = decide([*gates_of(arm(failed=500)).values(), blind])
    assert failed.action is Action.ROLL_BACK


def test_early_only_what_ends_a_rollout_is_acted_on() -> None:
    slow = list(gates_of(arm(slower_than_8ms=0.3)).values())
    assert decide(slow).action is Action.HOLD
    assert decide_early(slow) is None
    failing = decide_early(list(gates_of(arm(failed=500)).values()))
    assert failing is not None
    assert failing.action is Action.ROLL_BACK


def test_patience_that_ends_holds_for_the_reason_that_was_there() -> None:
    held = give_up_watching(decision(ArmWindow()), waited_s=90)
    assert (held.action, held.verdict) == (Action.HOLD, Verdict.INCONCLUSIVE)
    assert "90 s more" in held.reason
    assert "requests" in held.reason


def test_a_gate_is_described_with_its_figures() -> None:
    text = describe(gates_of(arm(failed=500))["error rate"])
    assert text.startswith("error rate: FAIL, 5 (")
    assert "pp above baseline, limit 0.2" in text
