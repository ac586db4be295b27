"""Sets a target aside after failures in a row, so that not every request pays for it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Breaker:
    """Opens after `threshold` failures in a row; a success closes it.

    While it is open nobody asks the target; somebody else probes it and calls `allow_trial` when
    the probe succeeds. Then requests go through again, and one failure is enough to open it.
    """

    threshold: int
    _failure_count: int = field(init=False, default=0)
    _is_open: bool = field(init=False, default=False)
    _on_trial: bool = field(init=False, default=False)

    @property
    def is_open(self) -> bool:
        """True while the target must not be asked."""
        return self._is_open

    def record_success(self) -> None:
        """The target answered in time."""
        self._failure_count = 0
        self._is_open = self._on_trial = False

    def record_failure(self) -> bool:
        """The target did not. Returns whether this failure opened the breaker for the first time.

        Not on a trial: a target that passes its probes and fails its requests is probed at the
        usual pace, not at once.
        """
        self._failure_count += 1
        if self._is_open:
            return False
        was_trial = self._on_trial
        self._is_open = was_trial or self._failure_count >= self.threshold
        self._on_trial = False
        return self._is_open and not was_trial

    def allow_trial(self) -> None:
        """A probe succeeded: let requests through until the next failure."""
        if self._is_open:
            self._is_open, self._on_trial = False, True
