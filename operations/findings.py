"""What a check finds, and how checks are run: whatever could not be measured is never a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from evaluation.commands import (
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_OK,
    EXIT_UNREACHABLE,
)
from evaluation.gates import combine
from evaluation.intervals import Verdict
from retrieval_core.errors import DamagedArtifact, NotFound, RetrievalError, Unavailable

Subject = TypeVar("Subject")

UNREACHABLE_REMEDY = "make up RELEASE=NAME starts a stack; --gateway HOST:PORT names another"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: the verdict, the figure as people read it, and what explains it."""

    verdict: Verdict
    figure: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """One thing to check, as data. `limit` says what is wanted, `remedy` what to do otherwise."""

    name: str
    section: str
    title: str
    limit: str
    remedy: str
    run: Callable[[Subject], Finding]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check with its outcome; `is_unreachable` where a server did not answer."""

    name: str
    section: str
    title: str
    verdict: Verdict
    figure: str
    limit: str
    detail: str
    remedy: str
    is_unreachable: bool = False


def passed(figure: str = "", detail: str = "") -> Finding:
    """It is as it has to be."""
    return Finding(Verdict.PASS, figure, detail)


def failed(figure: str = "", detail: str = "") -> Finding:
    """It is not."""
    return Finding(Verdict.FAIL, figure, detail)


def unknown(detail: str, figure: str = "") -> Finding:
    """There is nothing, or too little, to tell it by."""
    return Finding(Verdict.INCONCLUSIVE, figure, detail)


def judged(holds: bool, figure: str = "", detail: str = "") -> Finding:
    """PASS or FAIL."""
    return Finding(Verdict.PASS if holds else Verdict.FAIL, figure, detail)


def run_checks(checks: Iterable[Check[Subject]], subject: Subject) -> list[CheckResult]:
    """Run every check, in order; one that fails to run does not stop the others."""
    return [run_check(check, subject) for check in checks]


def run_check(check: Check[Subject], subject: Subject) -> CheckResult:
    """Run one check; an exception becomes a verdict that is no pass."""
    is_unreachable = False
    try:
        finding = check.run(subject)
    except DamagedArtifact as error:
        finding = failed("damaged", error.message)
    except NotFound as error:
        finding = unknown(error.message)
    except Unavailable as error:
        is_unreachable = True
        finding = Finding(Verdict.ERROR, "no answer", error.message)
    except RetrievalError as error:
        finding = Finding(Verdict.ERROR, detail=error.message)
    except Exception as error:  # noqa: BLE001 -- a check that breaks must not hide the others
        finding = Finding(Verdict.ERROR, detail=f"{type(error).__name__}: {error}")
    return CheckResult(
        name=check.name,
        section=check.section,
        title=check.title,
        verdict=finding.verdict,
        figure=finding.figure,
        limit=check.limit,
        detail=finding.detail,
        remedy=_remedy(check.remedy, finding.verdict, is_unreachable),
        is_unreachable=is_unreachable,
    )


def _remedy(remedy: str, verdict: Verdict, is_unreachable: bool) -> str:
    if verdict is Verdict.PASS:
        return ""
    return UNREACHABLE_REMEDY if is_unreachable else remedy


def overall(results: Sequence[CheckResult]) -> Verdict:
    """The worst verdict of all."""
    return combine(result.verdict for result in results)


def exit_status_of(results: Sequence[CheckResult]) -> int:
    """0 all passed, 1 something failed, 3 a server did not answer, 4 something is not known.

    A failure that is certain is told before what could not be asked.
    """
    verdicts = {result.verdict for result in results}
    if Verdict.FAIL in verdicts:
        return EXIT_FAILED
    if any(result.is_unreachable for result in results):
        return EXIT_UNREACHABLE
    if Verdict.ERROR in verdicts:
        return EXIT_FAILED
    return EXIT_OK if verdicts == {Verdict.PASS} else EXIT_INCONCLUSIVE
