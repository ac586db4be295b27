"""One line of progress on standard error, with rate and time to go."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts work done and prints a line at most every ten seconds."""

    def __init__(
        self,
        label: str,
        total: float,
        unit: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._start = self._printed = clock()
        self._done = 0.0

    def advance(self, amount: float, note: str = "") -> None:
        """Adds `amount` units; `note` is shown behind the figures."""
        self._done += amount
        if self._clock() - self._printed >= SECONDS_BETWEEN_LINES:
            self._print(note)

    def close(self, note: str = "") -> None:
        """Prints the last line."""
        self._print(note)

    def _print(self, note: str) -> None:
        self._printed = self._clock()
        elapsed = max(self._printed - self._start, 1e-9)
        rate = self._done / elapsed
        left = (self._total - self._done) / rate if rate else float("inf")
        share = self._done / self._total if self._total else 1.0
        line = (
            f"{self._label}: {share:6.1%}, {rate:,.0f} {self._unit}/s, "
            f"{elapsed:,.0f} s, {max(left, 0.0):,.0f} s to go {note}"
        )
        self._stream.write(line.rstrip() + "\n")
        self._stream.flush()
