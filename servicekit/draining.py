"""When to stop: a flag that a signal sets, and whether anything is left to answer."""

from __future__ import annotations

import contextlib
import queue
import time

from servicekit.admission import Admission

IDLE_LOOK_S = 0.1
"""Between two looks; an answer that was just made is sent well within it."""

_LOOKS_NEEDED = 2

_SLICE_S = 0.2
"""The longest that a wait keeps the interpreter from running a signal's handler."""


class Flag:
    """An event that a signal handler may set while the same thread waits for it.

    threading.Event may deadlock then: its lock is not reentrant. SimpleQueue.put is. Python runs
    handlers between instructions of the main thread, and a signal that comes just before that
    thread blocks interrupts nothing: so it never blocks for longer than a slice.
    """

    def __init__(self) -> None:
        self._raised = False
        self._marks: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Raise the flag for good."""
        self._raised = True
        self._marks.put(None)

    def is_set(self) -> bool:
        """Whether it was raised."""
        return self._raised

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is raised, or for `timeout_s`; returns whether it is. For one thread."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._raised:
            left = _SLICE_S if end is None else min(_SLICE_S, end - time.monotonic())
            if left <= 0:
                return False
            with contextlib.suppress(queue.Empty):
                self._marks.get(timeout=left)
        return True


class IdleWatch:
    """Says when no call has been in flight at several looks in a row.

    gRPC's own stop also waits for the streams of health watchers and reflection, which last as long
    as their callers like; without this every drain would take its whole grace.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._looks = 0

    def look(self) -> bool:
        """Look once; true when the server may stop for good."""
        self._looks = self._looks + 1 if self._admission.in_flight == 0 else 0
        return self._looks >= _LOOKS_NEEDED
