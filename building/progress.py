"""How a build reports: named stages with counts; where they are shown is the caller's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], object]


class Progress(Protocol):
    """Shows the stages of a build."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Enter a stage; what it yields is called with how many more are done."""
        ...


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """Take the counts and drop them."""
        del name, total
        yield _ignore


def _ignore(count: int) -> None:
    del count
