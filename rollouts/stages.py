"""What a rollout does to the stack that it rolls out on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.local.flags_in_force import wait_until_in_force
from deploy.local.layout import Layout
from deploy.local.stack import LocalStack
from deploy.local.switching import Switching
from releases.pointers import switch_current
from retrieval_core.flags import CANARY_PERCENT
from servicekit.flag_file import write_flags

_FLAGS_TIMEOUT_S = 10.0


class Stage(Protocol):
    """Acts on whatever serves. Everything may be done twice without harm."""

    def begin(self) -> None:
        """Have the canary up, without callers."""
        ...

    def set_percent(self, percent: float) -> None:
        """Send this share of the callers to the canary; returns once that is in force."""
        ...

    def promote(self) -> None:
        """Make the canary the baseline for everybody, and the current release."""
        ...

    def roll_back(self) -> None:
        """Send everybody to the baseline and take the canary away."""
        ...


@dataclass(frozen=True, slots=True)
class LocalStage:
    """The local stack: flags file, servers, and the pointers of `releases_folder`.

    Errors are those of the launcher (StackError) and RetrievalError.
    """

    stack: LocalStack
    layout: Layout
    releases_folder: Path
    gateways: Callable[[], Sequence[str]]

    def begin(self) -> None:
        """As Stage."""
        # First, so that a percentage that somebody left there sends nobody to a canary unwatched.
        if self._is_canary():
            return
        self.set_percent(0)
        Switching(self.stack).canary(self.layout)

    def set_percent(self, percent: float) -> None:
        """As Stage."""
        write_flags(self.stack.flags_file, {CANARY_PERCENT: percent})
        wait_until_in_force(self.stack.flags_file, self.gateways(), _FLAGS_TIMEOUT_S)

    def promote(self) -> None:
        """As Stage. The pointers move last, to what is served already and verified once more."""
        Switching(self.stack).switch(self.layout)
        self.set_percent(0)
        switch_current(self.releases_folder, self.layout.release.name)

    def roll_back(self) -> None:
        """As Stage. The flag comes first: it is in force within a second."""
        self.set_percent(0)
        Switching(self.stack).drop_canary()

    def _is_canary(self) -> bool:
        state = self.stack.state()
        canary = state.canary
        return canary is not None and state.group(canary).release == self.layout.release
