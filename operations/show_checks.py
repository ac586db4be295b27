"""Checks as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from evaluation.intervals import Verdict
from evaluation.tables import colored, open_console, show_verdict
from operations.findings import CheckResult, overall


def show_checks(title: str, results: Sequence[CheckResult]) -> None:
    """One row a check, by section; then what to do about those that are no pass."""
    console = open_console()
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False)
    for column in ("", "verdict", "found", "wanted", ""):
        table.add_column(column, overflow="fold")
    section = ""
    for result in results:
        if result.section != section:
            section = result.section
            table.add_row(f"[bold]{escape(section)}[/]")
        texts = [escape(text) for text in (result.figure, result.limit, result.detail)]
        table.add_row(f"  {escape(result.title)}", colored(result.verdict), *texts)
    console.print(table)
    for result in results:
        if result.verdict is not Verdict.PASS:
            console.print(f"{result.name}: {result.remedy}", markup=False)
    count = sum(result.verdict is Verdict.PASS for result in results)
    show_verdict(console, overall(results), f"{count} of {len(results)} passed")
