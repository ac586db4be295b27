#!/usr/bin/env python3
"""Encode the texts of a JSON lines file: one object with `text` a line in, one vector a row out.

Exit status: 0 written, 1 the model is damaged or the run failed, 2 wrong usage or input.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from encoder_svc.encoder import DEFAULT_MODEL_FOLDER, Encoder
from encoder_svc.text_lines import read_texts
from encoder_svc.vector_files import write_vectors
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import InvalidInput, NotFound, RetrievalError

EXIT_FAILURE = 1
EXIT_BAD_INPUT = 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def encode(
    source: Annotated[Path, typer.Option("--input", help='JSON lines with "text".')],
    out: Annotated[Path, typer.Option(help="NumPy file to write, float32 [n, 768].")],
    model: Annotated[Path, typer.Option(help="Model folder.")] = DEFAULT_MODEL_FOLDER,
    threads: Annotated[int, typer.Option(help="Threads; 0 means one a core.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Encode the texts of a JSON lines file; row i of the output belongs to line i."""
    try:
        summary = encode_file(source, out, model, threads or os.cpu_count() or 1)
    except (InvalidInput, NotFound, FileNotFoundError, IsADirectoryError) as error:
        _fail(error, EXIT_BAD_INPUT)
    except (RetrievalError, OSError) as error:
        _fail(error, EXIT_FAILURE)
    else:
        typer.echo(json.dumps(summary, indent=2) if as_json else _line(summary))


def encode_file(source: Path, out: Path, model: Path, threads: int) -> dict[str, Any]:
    """Write `out` and return the summary. RetrievalError or OSError say what went wrong."""
    if not out.parent.is_dir():
        raise InvalidInput("out", f"{out.parent} is no folder")
    texts = read_texts(source)
    if not texts:
        raise InvalidInput("input", f"{source} has no lines", reason="NO_TEXTS")
    started = time.monotonic()
    encoder = Encoder.load(model, threads=threads)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("encoding", total=len(texts))
        encoded = encoder.encode(texts, progress=lambda count: progress.advance(bar, count))
    write_vectors(out, encoded.vectors)
    elapsed_s = time.monotonic() - started
    return {
        "out": str(out),
        "rows": len(texts),
        "dimensions": encoder.manifest.dimensions,
        "model": encoder.manifest.name,
        "fingerprint": encoder.manifest.fingerprint,
        "precision": encoder.manifest.precision,
        "truncated": encoded.truncated_count,
        "tokens": sum(encoded.token_counts),
        "elapsed_s": round(elapsed_s, 3),
        "sha256": sha256_of_file(out),
    }


def _line(summary: dict[str, Any]) -> str:
    return (
        f"{summary['out']}: {summary['rows']} vectors of {summary['dimensions']} dimensions by "
        f"{summary['model']} ({summary['precision']}) in {summary['elapsed_s']} s, "
        f"{summary['truncated']} texts cut"
    )


def _fail(error: Exception, code: int) -> None:
    typer.echo(f"encode: {error}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    sys.exit(app())
