"""What the launcher's commands share: options, progress, errors as exit statuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.local.errors import StackError
from retrieval_core.errors import InvalidInput, NotFound, RetrievalError

EXIT_FAILED = 1
EXIT_USAGE = 2

RunFolder = Annotated[Path, typer.Option(help="Where state and logs are kept.")]
StartTimeout = Annotated[
    float, typer.Option(min=1, help="Limit for each wave of servers to become healthy.")
]


def show_progress(line: str) -> None:
    """One line for people; to standard error, so that what a command prints stays clean."""
    Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def errors_shown() -> Iterator[None]:
    """Errors become one line on standard error and an exit status."""
    try:
        yield
    except StackError as error:
        show_progress(f"error: {error}")
        raise typer.Exit(EXIT_FAILED) from None
    except RetrievalError as error:
        show_progress(f"error: {error.message} [{error.reason}]")
        is_usage = isinstance(error, InvalidInput | NotFound)
        raise typer.Exit(EXIT_USAGE if is_usage else EXIT_FAILED) from None
