"""Names and what is said of them, as two columns of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def show_pairs(console: Console, title: str, rows: Iterable[Sequence[str]]) -> None:
    """One row a pair; a name that is empty goes on with the one before it."""
    table = Table(
        title=escape(title), title_justify="left", box=None, pad_edge=False, show_header=False
    )
    for name, text in rows:
        table.add_row(escape(name), escape(text))
    console.print(table)
    console.print()
