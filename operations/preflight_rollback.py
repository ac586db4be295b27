"""Checks of the way back: a release to go back to, and that going back was rehearsed."""

from __future__ import annotations

from operations.findings import Finding, failed, judged
from operations.preflight_subject import PreflightSubject
from operations.rehearsals import KILL_SWITCH_NAME, ROLLBACK_NAME, read_rehearsal
from releases.catalog import release_names
from releases.pointers import CURRENT, PREVIOUS, read_pointer
from releases.verification import find_problems

MOST_ROLLBACK_S = 5.0
MOST_KILL_SWITCH_S = 1.0


def check_previous(subject: PreflightSubject) -> Finding:
    """`previous` is another release than the one to ship, and every file of it is right."""
    releases = subject.paths.releases
    previous = read_pointer(releases, PREVIOUS)
    if previous is None:
        return failed("none", "there is nothing to go back to")
    if previous not in release_names(releases):
        return failed(previous, "is not there")
    # Before the switch the way back is what is current now.
    way_back = previous
    if previous == subject.release.release_id:
        way_back = read_pointer(releases, CURRENT) or previous
    if way_back == subject.release.release_id:
        return failed(way_back, "is the release to ship itself")
    problems = find_problems(releases / way_back)
    detail = "; ".join(f"{problem.file} {problem.reason}" for problem in problems[:3])
    return judged(not problems, way_back, detail)


def check_rollback_rehearsal(subject: PreflightSubject) -> Finding:
    """A running stack was rolled back lately, in time and without a failed request."""
    return _judge_rehearsal(subject, ROLLBACK_NAME, MOST_ROLLBACK_S)


def check_kill_switch_rehearsal(subject: PreflightSubject) -> Finding:
    """The kill switch was flipped on a running stack lately, in time, without a failed request."""
    return _judge_rehearsal(subject, KILL_SWITCH_NAME, MOST_KILL_SWITCH_S)


def _judge_rehearsal(subject: PreflightSubject, name: str, most_s: float) -> Finding:
    rehearsal = read_rehearsal(subject.paths.rehearsals / name)
    age = rehearsal.age_days(subject.now)
    wrong = []
    if not rehearsal.reached_stack:
        wrong.append("no stack was up")
    if age > subject.most_age_days:
        wrong.append(f"it is {age:.0f} days old")
    if rehearsal.seconds > most_s:
        wrong.append("it took too long")
    if rehearsal.failed_requests:
        wrong.append(f"{rehearsal.failed_requests} requests failed")
    figure = (
        f"{rehearsal.seconds:.2f} s, {rehearsal.failed_requests} of {rehearsal.requests} "
        "requests failed"
    )
    detail = f"{rehearsal.subject}, {rehearsal.time:%Y-%m-%d %H:%M}Z"
    return judged(not wrong, figure, "; ".join([*wrong, detail]))
