"""When a draining server has nothing left to answer."""

from __future__ import annotations

from servicekit.admission import Admission

IDLE_LOOK_S = 0.1
"""Between two looks; an answer that was just made is sent well within it."""

_LOOKS_NEEDED = 2


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
