"""A small text file that is looked at again and again; gives its text when it has changed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

MAX_BYTES = 64 * 1024

_SETTLED_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look found: the text, or why there is none. Both None: there is no such file."""

    text: str | None = None
    error: str | None = None


@dataclass(slots=True)
class WatchedFile:
    """Looks at one path. Replacing the file and writing it in place are both noticed."""

    path: Path
    _stamp: tuple[int, ...] = field(init=False, default=())
    _last: Reading | None = field(init=False, default=None)

    def look(self) -> Reading | None:
        """What is there, or None when it is what the last look found. Never raises OSError."""
        reading = self._read()
        if reading is None or reading == self._last:
            return None
        self._last = reading
        return reading

    def _read(self) -> Reading | None:
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
            if stamp == self._stamp:
                return None
            # A second write within the clock's tick leaves no trace: what is new is read again.
            is_settled = time.time_ns() - status.st_mtime_ns > _SETTLED_NS
            self._stamp = stamp if is_settled else ()
            return _text_of(self.path, status.st_size)
        except FileNotFoundError:
            self._stamp = ()
            return Reading()
        except OSError as error:
            self._stamp = ()
            return Reading(error=f"cannot be read: {error.strerror or error}")


def _text_of(path: Path, size: int) -> Reading:
    if size > MAX_BYTES:
        return Reading(error=f"has {size} bytes, at most {MAX_BYTES}")
    try:
        return Reading(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return Reading(error="is not valid UTF-8")
