"""The flags in force: the environment's, and above them those of a file that is watched."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from retrieval_core.errors import InvalidInput
from retrieval_core.flags import NO_FLAGS, Flags, FlagValues, flags_of, parse_flags
from servicekit.watched_file import Reading, WatchedFile

_LOGGER = logging.getLogger("gateway.flags")


@dataclass(frozen=True, slots=True)
class FlagsInForce:
    """Flags, and where they come from.

    `generation` counts the changes from 1. `source` is "file", "environment" or "defaults".
    `digest` is sha256 of the file whose flags these are. `error` says why the file as it is now was
    refused, "" when it was not.
    """

    flags: Flags = field(default_factory=Flags)
    generation: int = 1
    source: str = "defaults"
    digest: str = ""
    error: str = ""


class FlagWatch:
    """Looks at the file; what is wrong is refused whole and the last good one stays in force."""

    def __init__(
        self,
        environment: FlagValues = NO_FLAGS,
        file: WatchedFile | None = None,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        source = "environment" if environment else "defaults"
        self.in_force = FlagsInForce(flags_of(environment), source=source)
        self._on_refused = on_refused
        self._environment = environment
        self._file = file
        self._first = True
        self.look()
        self._first = False

    def look(self) -> bool:
        """Look at the file once; whether anything of `in_force` changed."""
        reading = self._file.look() if self._file is not None else None
        if reading is None:
            return False
        before = self.in_force
        self.in_force = self._after(reading)
        return self.in_force != before

    def _after(self, reading: Reading) -> FlagsInForce:
        if reading == Reading():
            # A file that never was is no fault; one that went away may be gone by mistake.
            has_none = not self.in_force.digest
            return self.in_force if has_none else self._refused("flags: the file is gone")
        if reading.text is None:
            return self._refused(f"flags: {reading.error}")
        try:
            values = parse_flags(reading.text)
        except InvalidInput as error:
            return self._refused(
                "; ".join(f"{one.field}: {one.description}" for one in error.violations)
            )
        return self._accepted(values, hashlib.sha256(reading.text.encode()).hexdigest())

    def _refused(self, why: str) -> FlagsInForce:
        self._on_refused()
        _LOGGER.error(
            "the flags file is refused, generation %d stays: %s", self.in_force.generation, why
        )
        return replace(self.in_force, error=why)

    def _accepted(self, values: FlagValues, digest: str) -> FlagsInForce:
        flags = flags_of(self._environment, values)
        generation = self.in_force.generation
        if flags != self.in_force.flags and not self._first:
            generation += 1
        _LOGGER.info("flags in force", extra={"generation": generation, "flags": dict(values)})
        return FlagsInForce(flags, generation, "file", digest)
