"""Puts a rollout together out of what an operator says."""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from deploy.local.errors import NotUp, StackError
from deploy.local.releases import layout_of_release
from deploy.local.rollback import RollBack
from deploy.local.stack import LocalStack
from deploy.local.switching import Switching
from evaluation.commands import (
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_OK,
    EXIT_UNREACHABLE,
    errors_as_exits,
)
from evaluation.intervals import Verdict
from retrieval_core.errors import FailedPrecondition, RetrievalError
from retrieval_core.flags import CANARY_PERCENT
from rollouts.guarding import Guard, quality_drop_pp
from rollouts.log import RolloutLog
from rollouts.plan import Plan, read_plan
from rollouts.quality import ThroughGateway
from rollouts.sources import GatewaySource, MetricsSource, PrometheusSource
from rollouts.stack_addresses import find_gateways
from rollouts.stages import LocalStage
from rollouts.state import Outcome, RolloutState, StateFile, newest_rollout, only_runner
from rollouts.walking import Walk, resumable
from rollouts.watching import read_first
from servicekit.flag_file import write_flags


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stack, the releases and the rollouts are, and where figures come from.

    gateways: host:port of their HTTP, empty for those of the local stack. prometheus: a URL, empty
    to ask the gateways themselves.
    """

    run_folder: Path
    releases: Path
    rollouts: Path
    gateways: Sequence[str] = ()
    prometheus: str = ""
    query_sets: Sequence[Path] = ()

    def stack(self) -> LocalStack:
        """The local stack."""
        return LocalStack(self.run_folder, os.environ, progress)

    def http(self) -> Sequence[str]:
        """Where the gateways' HTTP is, now."""
        return find_gateways(self.run_folder, http=self.gateways).http

    def source(self) -> MetricsSource:
        """Where figures come from."""
        if self.prometheus:
            return PrometheusSource(self.prometheus)
        return GatewaySource(self.http())

    def file(self, release: str) -> StateFile:
        """The state of a release's rollout; of the newest one without a name."""
        return StateFile(self.rollouts, release) if release else newest_rollout(self.rollouts)


def plan_of(path: Path | None) -> Plan:
    """The plan of a file, or the checklist's."""
    return Plan() if path is None else read_plan(path)


def start_rollout(
    place: Place, release: str, plan: Plan, scale: float, *, yes: bool
) -> RolloutState:
    """Begin and walk. FailedPrecondition while one of that release is unfinished or one runs."""
    plan.scaled(scale)
    layout = layout_of_release(release, os.cpu_count() or 1, place.releases)
    name = layout.release_id
    stack = place.stack()
    file = StateFile(place.rollouts, name)
    with only_runner(place.rollouts):
        _refuse_unfinished(file)
        read_first(place.source())
        served = stack.state()
        state = RolloutState(
            release=name,
            baseline=served.group(served.baseline).release_id,
            started=now(),
            plan=plan,
            time_scale=scale,
        )
        file.begin(state)
        log = RolloutLog(file.log_path, name, now)
        log.write("started", baseline=state.baseline, plan=plan, time_scale=scale)
        return _run(_walk(place, file, log, yes=yes))


def resume_rollout(place: Place, release: str, retry: str, *, yes: bool) -> RolloutState:
    """Go on with one that was held, or whose process ended."""
    file = place.file(release)
    with only_runner(place.rollouts):
        before = file.read()
        state = resumable(before, retry)
        log = RolloutLog(file.log_path, state.release, now)
        log.write("resumed", retry=retry, set_aside=list(before.failures))
        file.begin(state)
        return _run(_walk(place, file, log, yes=yes))


def abort_rollout(place: Place, release: str, reason: str) -> RolloutState:
    """End one, whether a process walks it or not."""
    file = place.file(release)
    state = file.read()
    log = RolloutLog(file.log_path, state.release, now)
    return _walk(place, file, log, yes=True).abort(reason)


def guard_stack(
    place: Place, plan: Plan, scale: float, quality_file: Path, *, triggers: bool
) -> Iterator[str]:
    """Watch for ever; yields what fired, in words, after it was acted on."""
    scaled = plan.scaled(scale)
    guard = Guard(
        limits=scaled.triggers,
        source=place.source(),
        quality=lambda: quality_drop_pp(quality_file),
        log=RolloutLog(place.rollouts / "watch.jsonl", "", now),
        rescue=LocalRescue(place) if triggers else None,
    )
    while True:
        for fired in guard.look():
            yield fired.describe()
        time.sleep(scaled.check_every_s)


@dataclass(frozen=True, slots=True)
class LocalRescue:
    """The ways out of the local stack."""

    place: Place

    def drop_canary(self) -> None:
        """As Rescue."""
        stack = self.place.stack()
        write_flags(stack.flags_file, {CANARY_PERCENT: 0})
        Switching(stack).drop_canary()

    def roll_back(self) -> str:
        """As Rescue."""
        back = RollBack(self.place.stack(), self.place.releases, os.cpu_count() or 1)
        return back.run(None, now).to_release


def exit_status_of(state: RolloutState) -> int:
    """The exit status that tells a rollout's outcome to scripts."""
    if state.outcome is Outcome.PROMOTED:
        return EXIT_OK
    if state.outcome is Outcome.HELD and not state.failures:
        is_blind = state.verdict == Verdict.ERROR.value
        return EXIT_UNREACHABLE if is_blind else EXIT_INCONCLUSIVE
    return EXIT_FAILED


@contextmanager
def errors_shown() -> Iterator[None]:
    """As the other commands have it, and the launcher's errors too."""
    with errors_as_exits():
        try:
            yield
        except StackError as error:
            progress(f"error: {error}")
            is_absent = isinstance(error, NotUp)
            raise typer.Exit(EXIT_UNREACHABLE if is_absent else EXIT_FAILED) from None


def now() -> str:
    """This moment in UTC, RFC 3339 with milliseconds: steps of a rehearsal last seconds."""
    moment = dt.datetime.now(dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def progress(line: str) -> None:
    """One line for people, on standard error."""
    sys.stderr.write(f"{line}\n")


def _run(walk: Walk) -> RolloutState:
    """Walk; what ends it from outside is an outcome, and what breaks it stands in the log."""
    try:
        return walk.run()
    except (StackError, RetrievalError) as error:
        if walk.file.outcome().is_final:
            progress(str(error))
            return walk.file.read()
        walk.log.write("broke off", reason=str(error))
        raise


def _walk(place: Place, file: StateFile, log: RolloutLog, *, yes: bool) -> Walk:
    state = file.read()
    layout = layout_of_release(state.release, os.cpu_count() or 1, place.releases)
    return Walk(
        file=file,
        stage=LocalStage(place.stack(), layout, place.releases, place.http),
        source=place.source(),
        quality=ThroughGateway(
            find_gateways(place.run_folder).grpc[0],
            baseline=(place.releases / state.baseline).resolve(),
            canary=layout.release,
            query_sets=place.query_sets,
        ),
        log=log,
        confirm=_confirmation(yes=yes),
        clock=time.monotonic,
        wait=time.sleep,
    )


def _confirmation(*, yes: bool) -> Callable[[str], bool]:
    def confirm(what: str) -> bool:
        progress(f"{now()}  {what}")
        if yes:
            return True
        if not sys.stdin.isatty():
            progress("there is no terminal to ask at; --yes lets it act by itself")
            return False
        return typer.confirm("do it?", err=True)

    return confirm


def _refuse_unfinished(file: StateFile) -> None:
    if not file.path.exists():
        return
    outcome = file.read().outcome
    if not outcome.is_final:
        raise FailedPrecondition(
            f"a rollout of {file.release} is {outcome.value}: resume it, or abort it first",
            reason="ROLLOUT_UNFINISHED",
        )
