"""Where a rollout stands, on disk, so that another process can go on with it or end it."""

from __future__ import annotations

import dataclasses
import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from evaluation.json_values import to_line
from releases.durable import write_bytes_durably
from retrieval_core.errors import DamagedArtifact, FailedPrecondition, NotFound
from rollouts.counts import ArmWindow
from rollouts.plan import Plan, parse_plan
from rollouts.statistics import Histogram

FORMAT = "retrieval-rollout/1"
DEFAULT_FOLDER = Path("artifacts/rollouts")
_SUFFIX = ".state.json"


class Outcome(StrEnum):
    """How a rollout ended, or stands."""

    RUNNING = "running"
    HELD = "held"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    ABORTED = "aborted"

    @property
    def is_final(self) -> bool:
        """Nothing can be resumed after it."""
        return self not in {Outcome.RUNNING, Outcome.HELD}


@dataclass(frozen=True, slots=True)
class RolloutState:
    """One rollout. `step` counts from 0; `plan` is in times of the timeline, not scaled.

    reason: of the last decision. failures: of analyses that failed; while there is one, nothing
    advances. reference: what the baseline did at the last step where it still had callers.
    """

    release: str
    baseline: str
    started: str
    plan: Plan
    time_scale: float = 1.0
    step: int = 0
    outcome: Outcome = Outcome.RUNNING
    verdict: str = ""
    reason: str = ""
    failures: tuple[str, ...] = ()
    reference: ArmWindow = field(default_factory=ArmWindow)

    @property
    def scaled_plan(self) -> Plan:
        """The plan in real seconds."""
        return self.plan.scaled(self.time_scale)


@dataclass(frozen=True, slots=True)
class StateFile:
    """The state of the rollout of one release under `folder`."""

    folder: Path
    release: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"{self.release}{_SUFFIX}"

    @property
    def log_path(self) -> Path:
        """The log beside it."""
        return self.folder / f"{self.release}.jsonl"

    def read(self) -> RolloutState:
        """NotFound without a rollout; DamagedArtifact for a file that is none."""
        try:
            content = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            raise NotFound(f"no rollout of {self.release} under {self.folder}") from None
        except ValueError as error:
            raise DamagedArtifact(f"{self.path}: is no JSON ({error})") from error
        try:
            return _parse(content)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(f"{self.path}: is no rollout ({error!r})") from error

    def outcome(self) -> Outcome:
        """How it stands, without the rest."""
        try:
            return Outcome(json.loads(self.path.read_text("utf-8"))["outcome"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(f"{self.path}: is no rollout ({error!r})") from error

    def begin(self, state: RolloutState) -> None:
        """Write the state of a new rollout, over that of one that has ended."""
        with self._locked():
            self._write(state)

    def save(self, state: RolloutState) -> None:
        """Write the state in one step. FailedPrecondition when it was ended from outside."""
        with self._locked():
            found = self.read().outcome
            if found.is_final and found is not state.outcome:
                raise FailedPrecondition(
                    f"the rollout of {self.release} was {found.value}", reason="ROLLOUT_ENDED"
                )
            self._write(state)

    def _write(self, state: RolloutState) -> None:
        content = {"format": FORMAT, **_plain(state)}
        write_bytes_durably(self.path, to_line(content).encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{self.release}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def newest_rollout(folder: Path) -> StateFile:
    """The rollout that changed last. NotFound where there was none."""
    files = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise NotFound(f"no rollout under {folder}")
    return StateFile(folder, files[-1].name.removesuffix(_SUFFIX))


@contextmanager
def only_runner(folder: Path) -> Iterator[None]:
    """Hold the only right to walk a rollout. FailedPrecondition while another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".runner.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition(
                f"a rollout under {folder} is being walked by another process",
                reason="ROLLOUT_RUNNING",
            ) from None
        yield


def _plain(state: RolloutState) -> dict[str, Any]:
    return {each.name: getattr(state, each.name) for each in dataclasses.fields(state)}


def _parse(content: Mapping[str, Any]) -> RolloutState:
    if content["format"] != FORMAT:
        raise ValueError(f"format is {content['format']!r}, expected {FORMAT!r}")
    reference = content["reference"]
    durations = reference["durations"]
    figures = {name: float(value) for name, value in reference.items() if name != "durations"}
    return RolloutState(
        release=str(content["release"]),
        baseline=str(content["baseline"]),
        started=str(content["started"]),
        plan=parse_plan(content["plan"]),
        time_scale=float(content["time_scale"]),
        step=int(content["step"]),
        outcome=Outcome(content["outcome"]),
        verdict=str(content["verdict"]),
        reason=str(content["reason"]),
        failures=tuple(content["failures"]),
        reference=ArmWindow(
            **figures,
            durations=Histogram(
                tuple(durations["edges_s"]), tuple(durations["counts"]), durations["total"]
            ),
        ),
    )
