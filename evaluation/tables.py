"""Reports as tables for a terminal; plain text with the same columns elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evaluation.gates import GateResult
from evaluation.intervals import Interval, Verdict

_COLORS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.ERROR: "red",
}
_PLAIN_WIDTH = 160
_BARS = "▁▂▃▄▅▆▇█"


def open_console() -> Console:
    """Standard output; wide enough for every table where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=_PLAIN_WIDTH)


def show_table(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """One table; the first column is text, all others are figures."""
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def show_gates(console: Console, title: str, gates: Sequence[GateResult]) -> None:
    """Gates with figures, limits and verdicts."""
    table = Table("gate", box=None, pad_edge=False, title=escape(title), title_justify="left")
    for column in ("figure", "95 % interval", "limit"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    table.add_column("")
    for gate in gates:
        table.add_row(
            escape(gate.name),
            figure(gate.figure),
            "" if gate.low is None or gate.high is None else f"{gate.low:.3f} … {gate.high:.3f}",
            "" if gate.figure is None else f"{gate.limit:g}",
            colored(gate.verdict),
            escape(gate.detail),
        )
    console.print(table)
    console.print()


def show_verdict(console: Console, verdict: Verdict, text: str = "") -> None:
    """The last line."""
    console.print(f"verdict: {colored(verdict)}{escape(f' — {text}' if text else '')}")


def colored(verdict: Verdict) -> str:
    """The verdict's word in its color."""
    return f"[{_COLORS[verdict]}]{verdict.value}[/]"


def figure(value: float | None) -> str:
    """A figure in three places, or in significant ones where that would show nothing."""
    if value is None:
        return "—"
    return f"{value:.3f}" if value == 0.0 or abs(value) >= 1e-3 else f"{value:.1e}"


def with_bounds(interval: Interval, places: int = 3) -> str:
    """Mean and bounds, as in `0.412 (0.391 … 0.430)`."""
    return f"{interval.mean:.{places}f} ({interval.low:.{places}f} … {interval.high:.{places}f})"


def signed(interval: Interval) -> str:
    """A difference in percentage points with its bounds."""
    return f"{interval.mean:+.2f} ({interval.low:+.2f} … {interval.high:+.2f})"


def bars(values: Sequence[float], low: float = 0.0, high: float = 1.0) -> str:
    """A line of bars, one a value, between `low` and `high`."""
    span = max(high - low, 1e-9)
    steps = [round((value - low) / span * (len(_BARS) - 1)) for value in values]
    return "".join(_BARS[min(max(step, 0), len(_BARS) - 1)] for step in steps)


def measure_rows(
    stages: Mapping[str, Mapping[str, Interval]], differences: Mapping[str, Mapping[str, Interval]]
) -> list[list[str]]:
    """One row a measure: each stage, then each difference in percentage points."""
    names = list(next(iter(stages.values())))
    return [
        [
            name,
            *(with_bounds(found[name]) for found in stages.values()),
            *(signed(_in_pp(found[name])) for found in differences.values()),
        ]
        for name in names
    ]


def _in_pp(interval: Interval) -> Interval:
    return Interval(100 * interval.mean, 100 * interval.low, 100 * interval.high)
