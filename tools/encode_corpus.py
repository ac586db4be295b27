#!/usr/bin/env python3
"""Encode a large JSON lines file in partitions: resumable, over processes or by Ray.

Exit status: 0 all asked for is done, 1 the run failed (run it again to go on), 2 wrong usage or
input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from encoder_svc.encoder import DEFAULT_MODEL_FOLDER
from encoder_svc.partition import PartitionOutcome, PartitionTask
from encoder_svc.partition_runs import (
    CorpusTask,
    OnDone,
    join_partitions,
    run_with_processes,
    run_with_ray,
)
from encoder_svc.text_lines import count_lines
from retrieval_core.errors import InvalidInput, NotFound, RetrievalError

EXIT_FAILURE = 1
EXIT_BAD_INPUT = 2

Run = Callable[[Sequence[PartitionTask], int, OnDone], None]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Engine(StrEnum):
    """Who runs the partitions."""

    PROCESSES = "processes"
    RAY = "ray"


@app.command()
def encode_corpus(  # noqa: PLR0913, PLR0917 -- the options of a command
    source: Annotated[Path, typer.Option("--input", help='JSON lines with "text".')],
    folder: Annotated[Path, typer.Option(help="Folder for the partitions' files.")],
    partitions: Annotated[int, typer.Option(help="Partitions of the file.", min=1)] = 16,
    partition: Annotated[
        str | None, typer.Option(help="Only this one, as I/N from 0; sets --partitions.")
    ] = None,
    model: Annotated[Path, typer.Option(help="Model folder.")] = DEFAULT_MODEL_FOLDER,
    workers: Annotated[int, typer.Option(help="At once; 0 means one a core.", min=0)] = 0,
    engine: Annotated[Engine, typer.Option(help="Who runs the partitions.")] = Engine.PROCESSES,
    ray_address: Annotated[
        str | None,
        typer.Option(
            envvar="RAY_ADDRESS", help="Ray cluster, `auto` for this machine's; unset starts Ray."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also join all partitions into this NumPy file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Encode a file in partitions; what is done and verifies is skipped."""
    try:
        index, count = parse_partition(partition) if partition else (None, partitions)
        task = CorpusTask(model, source, folder, count)
        run = partial(run_with_ray, address=ray_address)
        outcomes = _run(
            task,
            index,
            workers or os.cpu_count() or 1,
            run if engine is Engine.RAY else run_with_processes,
        )
        rows = join_partitions(task, out) if out else None
    except (InvalidInput, NotFound, FileNotFoundError, IsADirectoryError) as error:
        _fail(error, EXIT_BAD_INPUT)
    except (RetrievalError, OSError) as error:
        _fail(error, EXIT_FAILURE)
    else:
        summary = {
            "folder": str(folder),
            "partitions": count,
            "done": len(outcomes),
            "skipped": sum(outcome.skipped for outcome in outcomes),
            "rows": sum(outcome.rows for outcome in outcomes),
            "joined_rows": rows,
        }
        typer.echo(json.dumps(summary, indent=2) if as_json else _line(summary))


def parse_partition(text: str) -> tuple[int, int]:
    """`3/16` as (3, 16). InvalidInput for anything else."""
    index, slash, count = text.partition("/")
    if not slash or not index.isdecimal() or not count.isdecimal():
        raise InvalidInput("partition", f"{text!r} is not of the form I/N")
    return int(index), int(count)


def _run(task: CorpusTask, index: int | None, workers: int, run: Run) -> list[PartitionOutcome]:
    count_lines(task.input)
    parts = task.partitions()
    if index is not None:
        if index >= task.count:
            raise InvalidInput("partition", f"{index}/{task.count}: counted from 0")
        parts = parts[index : index + 1]
    outcomes: list[PartitionOutcome] = []
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("partitions", total=len(parts))

        def on_done(outcome: PartitionOutcome) -> None:
            outcomes.append(outcome)
            progress.advance(bar)

        run(parts, min(workers, len(parts)), on_done)
    return outcomes


def _line(summary: dict[str, Any]) -> str:
    return (
        f"{summary['folder']}: {summary['done']} of {summary['partitions']} partitions, "
        f"{summary['skipped']} of them already done, {summary['rows']} vectors"
    )


def _fail(error: Exception, code: int) -> None:
    typer.echo(f"encode_corpus: {error}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    sys.exit(app())
