"""Shows the stages of a build: bars on a terminal, one line a stage anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from building.progress import Advance


class ConsoleProgress:
    """Reports to one console, which should be that of stderr: stdout is for results."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """Show a stage until it is left, then what it came to."""
        counted = _Counted()
        started = time.monotonic()
        if self._console.is_terminal:
            with _bars(self._console) as bars:
                task = bars.add_task(name, total=total, done="")
                yield lambda count: _advance(bars, task, counted, started, count)
        else:
            yield counted.add
        self._console.print(_line(name, counted.count, time.monotonic() - started))


class _Counted:
    def __init__(self) -> None:
        self.count = 0

    def add(self, count: int) -> None:
        self.count += count


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<7}"),
        BarColumn(),
        TextColumn("{task.fields[done]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _advance(bars: Progress, task: TaskID, counted: _Counted, started: float, count: int) -> None:
    counted.add(count)
    rate = counted.count / max(time.monotonic() - started, 1e-9)
    bars.update(task, advance=count, done=f"{counted.count:,} ({rate:,.0f}/s)")


def _line(name: str, count: int, elapsed_s: float) -> str:
    if not count:
        return f"{name:<7} {elapsed_s:6.1f} s"
    return f"{name:<7} {elapsed_s:6.1f} s  {count:,} ({count / max(elapsed_s, 1e-9):,.0f}/s)"
