#!/usr/bin/env python3
"""Serve the quality file of the last evaluation to Prometheus, until SIGTERM or SIGINT.

Exit status: 0 stopped as asked, 2 wrong usage, 3 the address is taken.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands import errors_as_exits
from evaluation.json_values import to_line
from evaluation.quality_exporter import DEFAULT_QUALITY_FILE, QualityServer
from servicekit.draining import Flag

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def quality_exporter(
    file: Annotated[
        Path, typer.Option(help="What the evaluation wrote for Prometheus.")
    ] = DEFAULT_QUALITY_FILE,
    host: Annotated[str, typer.Option(help="Address to bind.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 9105,
    as_json: Annotated[bool, typer.Option("--json", help="Say where as JSON.")] = False,
) -> None:
    """Serve the file at /metrics, as it is at each scrape."""
    with errors_as_exits():
        server = QualityServer(host, port, file)
    over = Flag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    sys.stdout.write(to_line({"url": server.url}) if as_json else f"{server.url}\n")
    sys.stdout.flush()
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        over.wait()
        server.shutdown()


if __name__ == "__main__":
    app()
