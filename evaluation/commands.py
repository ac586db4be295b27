"""What the commands of the evaluation share: exit statuses, errors, output, numerics.

Nothing heavy is imported here: the environment of FAISS has to be prepared before it is loaded.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from evaluation.intervals import Verdict
from evaluation.querysets import QuerySetError
from retrieval_core.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Overloaded,
    RetrievalError,
    Unavailable,
)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_INCONCLUSIVE = 4

EXIT_STATUSES = (
    "Exit status: 0 passed, 1 failed, 2 wrong usage or unusable input, 3 no server reachable, "
    "4 inconclusive."
)


def exit_status(verdict: Verdict) -> int:
    """The exit status that tells a verdict to scripts."""
    return {Verdict.PASS: EXIT_OK, Verdict.INCONCLUSIVE: EXIT_INCONCLUSIVE}.get(
        verdict, EXIT_FAILED
    )


@contextmanager
def errors_as_exits() -> Iterator[None]:
    """Errors become one line on standard error and an exit status."""
    try:
        yield
    except RetrievalError as error:
        sys.stderr.write(f"error: {error.message} [{error.reason}]\n")
        raise typer.Exit(_status_of(error)) from None
    except QuerySetError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(EXIT_USAGE) from None
    except OSError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(EXIT_FAILED) from None
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        raise typer.Exit(EXIT_FAILED) from None


def prepare_numerics() -> None:
    """Set what FAISS reads when it is loaded, unless the caller did.

    One thread, as in the shard server, and the name of the processor for its OpenBLAS, which would
    fall back to slow kernels on those that it does not know.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return
    if " avx512f" in flags and " avx512vl" in flags:
        os.environ.setdefault("OPENBLAS_CORETYPE", "SKYLAKEX")


def now() -> str:
    """This moment in UTC, RFC 3339."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def require_charts(chart: Path | None) -> None:
    """InvalidInput, before any work, where a picture is asked for that cannot be drawn."""
    from evaluation.charts import MISSING_CHARTS, can_draw

    if chart is not None and not can_draw():
        raise InvalidInput("--chart", MISSING_CHARTS, reason="MATPLOTLIB_MISSING")


def _status_of(error: RetrievalError) -> int:
    if isinstance(error, Unavailable | DeadlineExceeded | Overloaded):
        return EXIT_UNREACHABLE
    if isinstance(error, InvalidInput | NotFound | FailedPrecondition):
        return EXIT_USAGE
    return EXIT_FAILED
