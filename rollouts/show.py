"""What the commands print for people."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape

from evaluation.tables import colored, open_console, show_table, show_verdict
from rollouts.plan import Plan
from rollouts.rollback_check import RollbackReport
from rollouts.state import RolloutState


def show_checks(report: RollbackReport) -> None:
    """Every check of a rollback, and the verdict."""
    console = open_console()
    rows = [[check.name, check.found, colored(check.verdict)] for check in report.checks]
    show_table(console, f"back to {report.release}?", ["check", "found", ""], rows)
    show_verdict(console, report.verdict)


def show_plan(plan: Plan, scale: float) -> None:
    """The timeline as it would be walked, and the limits."""
    console = open_console()
    at_s = 0.0
    rows = []
    for step in plan.steps:
        judged = ["errors, times, near-duplicates"]
        judged += ["confidence, acceptance"] if step.answers else []
        judged += ["R@5 of both arms"] if step.quality else []
        rows.append(
            [
                f"{step.percent:g} %",
                _span(at_s),
                _span(at_s + step.watch_s),
                _span(at_s + step.until_s),
                "; ".join(judged),
            ]
        )
        at_s += step.until_s
    columns = ["callers", "begins", "decided", "until", "judged by"]
    show_table(console, f"timeline, {scale:g} times as fast as written", columns, rows)
    limits = [[name, f"{value:g}"] for name, value in asdict(plan.limits).items()]
    show_table(console, "limits", ["", ""], limits)


def show_state(state: RolloutState) -> None:
    """Where a rollout stands."""
    console = open_console()
    steps = state.plan.steps
    at = "all steps done" if state.step >= len(steps) else f"{steps[state.step].percent:g} %"
    rows = [
        ["release", state.release],
        ["baseline", state.baseline],
        ["started", state.started],
        ["at", at],
        ["outcome", state.outcome.value],
        ["because", f"{state.verdict} {state.reason}".strip()],
        *(["failed", failure] for failure in state.failures),
    ]
    show_table(console, "rollout", ["", ""], [[escape(text) for text in row] for row in rows])


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"
