"""The log of a rollout: one JSON object a line, only ever appended."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.json_values import to_line
from rollouts.counts import Window
from rollouts.decisions import Decision
from rollouts.gate import GateVerdict

Now = Callable[[], str]
"""This moment in UTC, RFC 3339."""


@dataclass(frozen=True, slots=True)
class RolloutLog:
    """Appends to `path`; each entry has its time, its event and the release."""

    path: Path
    release: str
    now: Now

    def write(self, event: str, **details: Any) -> None:  # noqa: ANN401 -- whatever there is to say
        """Append one entry and wait until it is on the disk."""
        entry = {"time": self.now(), "event": event, "release": self.release, **details}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # One write, so that entries of two processes never mix.
            os.write(descriptor, to_line(entry).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def decision(
        self,
        percent: float,
        decision: Decision,
        gates: Sequence[GateVerdict],
        window: Window | None,
    ) -> None:
        """What was decided at a share of the callers, with every gate and the figures behind."""
        self.write(
            "decision",
            percent=percent,
            action=decision.action.value,
            verdict=decision.verdict.value,
            reason=decision.reason,
            gates=list(gates),
            figures=window,
        )
