"""The reranker: `python -m rerank_svc`."""

from __future__ import annotations

import os
import sys

from servicekit.lifecycle import run_sync


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    # Read once, when numpy is imported. Its products here are smaller than the cost of sharing
    # them out, and a thread pool for each slot would take the cores of the servers beside.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from rerank_svc.program import PROGRAM

    return run_sync(PROGRAM, sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
