"""Records of rehearsals: when, what, how long it took, and how many requests failed meanwhile."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.history import parse_time
from retrieval_core.errors import DamagedArtifact, NotFound

ROLLBACK_NAME = "rollback.json"
KILL_SWITCH_NAME = "kill_switch.json"
KILL_SWITCH_FORMAT = "retrieval-kill-switch/1"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """`seconds` until the last gateway followed; requests answered and failed in that time."""

    time: dt.datetime
    subject: str
    seconds: float
    requests: int
    failed_requests: int
    reached_stack: bool

    def age_days(self, now: dt.datetime) -> float:
        """How long ago it was."""
        return (now - self.time).total_seconds() / 86400


def read_rehearsal(path: Path) -> Rehearsal:
    """The record in the file. NotFound without one, DamagedArtifact for another file."""
    try:
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if "to_release" in values:
            subject = f"{values['from_release']} to {values['to_release']}"
        else:
            subject = str(values["subject"])
        return Rehearsal(
            parse_time(str(values["time"])),
            subject,
            float(values["seconds"]),
            int(values["requests"]),
            int(values["failed_requests"]),
            bool(values["stack_switched"]),
        )
    except FileNotFoundError as error:
        raise NotFound(f"{path}: nothing was rehearsed yet") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedArtifact(f"{path}: is no record of a rehearsal ({error!r})") from error
