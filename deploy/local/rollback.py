"""The way back: the running stack first, then the pointers, then a record of what it took.

Traffic comes first since it is what hurts. A spare that is warm was verified when it was loaded; a
release that has to be started is verified by the servers that load it; the pointers move only to a
release whose every file is as its manifest says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.local.errors import NotUp
from deploy.local.gateways import RequestCounts, count_requests
from deploy.local.releases import layout_of_release
from deploy.local.stack import LocalStack
from deploy.local.switching import Switching
from releases.bundle import open_release
from releases.catalog import resolve_release
from releases.durable import write_bytes_durably
from releases.pointers import CURRENT, PREVIOUS, read_pointer, switch_current
from retrieval_core.errors import InvalidInput, NotFound
from retrieval_core.flags import CANARY_PERCENT
from servicekit.flag_file import read_flags, write_flags

DEFAULT_RECORD = Path("artifacts/rehearsals/rollback.json")
FORMAT = "retrieval-rollback/1"


@dataclass(frozen=True, slots=True)
class RollBackRecord:
    """What one rollback did. `time` is RFC 3339 in UTC.

    seconds: from the command to the last gateway that asks `to_release`. stack_switched: whether a
    stack was up. requests, failed_requests: what its gateways answered, and failed to, meanwhile.
    """

    time: str
    from_release: str
    to_release: str
    seconds: float
    stack_switched: bool
    requests: int
    failed_requests: int


@dataclass(frozen=True, slots=True)
class RollBack:
    """Goes back within `releases_folder` and the running `stack`; `record` remembers the last."""

    stack: LocalStack
    releases_folder: Path
    core_count: int
    record: Path = DEFAULT_RECORD

    def run(self, name: str | None, now: Callable[[], str]) -> RollBackRecord:
        """Go back to the release `name`, or to the previous one.

        Doing it twice is doing it once. NotFound for an unknown release; DamagedArtifact after the
        stack was switched where only the pointers could not follow; StackError where the stack
        refused and all is as before.
        """
        began = time.monotonic()
        target = self._target(name)
        release_id = open_release(target).release_id
        before = self._served() or read_pointer(self.releases_folder, CURRENT) or ""
        counts = self._counts()
        is_up = self._switch_stack(target)
        seconds = time.monotonic() - began
        after = self._counts()
        switch_current(self.releases_folder, target.name)
        record = RollBackRecord(
            time=now(),
            from_release=before,
            to_release=release_id,
            seconds=round(seconds, 3),
            stack_switched=is_up,
            requests=after.answered - counts.answered,
            failed_requests=after.failed - counts.failed,
        )
        if before != release_id:
            self._write(record)
        return record

    def _target(self, name: str | None) -> Path:
        wanted = name or self._default_name()
        folder = resolve_release(wanted, self.releases_folder)
        if folder.parent != self.releases_folder.resolve():
            raise InvalidInput("NAME", f"{wanted!r} is no release under {self.releases_folder}")
        return folder

    def _default_name(self) -> str:
        current = read_pointer(self.releases_folder, CURRENT)
        previous = read_pointer(self.releases_folder, PREVIOUS)
        if previous is None:
            raise NotFound(f"there is no previous release under {self.releases_folder}; name one")
        last = self._last()
        if (last.get("from_release"), last.get("to_release")) == (previous, current):
            # The pointers were exchanged by a rollback; another one must not undo it.
            return str(current)
        return previous

    def _last(self) -> dict[str, Any]:
        try:
            content = json.loads(self.record.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _served(self) -> str | None:
        try:
            state = self.stack.state()
        except NotUp:
            return None
        return state.group(state.baseline).release_id

    def _counts(self) -> RequestCounts:
        try:
            return count_requests(self.stack.state().gateways)
        except NotUp:
            return RequestCounts()

    def _switch_stack(self, target: Path) -> bool:
        try:
            self.stack.state()
        except NotUp:
            return False
        layout = layout_of_release(str(target), self.core_count)
        Switching(self.stack).switch(layout)
        flags = self.stack.flags_file
        if read_flags(flags).get(CANARY_PERCENT):
            # The next canary begins with no callers, not with those of this one.
            write_flags(flags, {CANARY_PERCENT: 0})
        return True

    def _write(self, record: RollBackRecord) -> None:
        self.record.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"format": FORMAT, **asdict(record)}, indent=2) + "\n"
        write_bytes_durably(self.record, content.encode())
