"""What a process's memory was once it was warm, for later growth to be held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from retrieval_core.timing import Clock, monotonic_ns

_NS_PER_S = 1e9


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return int(psutil.Process().memory_info().rss)


@dataclass(slots=True)
class MemoryBaseline:
    """Resident memory at the first look that comes `after_s` seconds or later; 0 until then.

    Caches and pools fill while a server answers its first requests, so that the memory at its start
    would make every server look as if it leaked.
    """

    after_s: float
    clock: Clock = monotonic_ns
    read: Callable[[], int] = resident_bytes
    _started_ns: int = field(init=False)
    _bytes: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._started_ns = self.clock()

    def bytes(self) -> int:
        """The baseline, taken now if it is time for it."""
        if not self._bytes and self.clock() - self._started_ns >= self.after_s * _NS_PER_S:
            self._bytes = self.read()
        return self._bytes
