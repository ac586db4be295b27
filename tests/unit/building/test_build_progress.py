"""Stages end in one line each, with counts and rates where something was counted."""

import io
import re

from rich.console import Console

from building.console import ConsoleProgress


def _shown(*, terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100, color_system=None)
    progress = ConsoleProgress(console)
    with progress.stage("encode", 30) as advance:
        advance(10)
        advance(20)
    with progress.stage("index"):
        pass
    return stream.getvalue()


def test_a_log_has_one_line_a_stage() -> None:
    encode, index = _shown(terminal=False).splitlines()
    assert re.fullmatch(r"encode +\d+\.\d s  30 \([\d,]+/s\)", encode)
    assert re.fullmatch(r"index +\d+\.\d s", index)


def test_a_terminal_sees_bars_and_then_the_same_lines() -> None:
    shown = _shown(terminal=True)
    assert "\x1b[2K" in shown
    assert re.search(r"encode +\d+\.\d s  30 \([\d,]+/s\)\n", shown)
