"""The shard server: `python -m index_svc`."""

from __future__ import annotations

import os
import sys

from servicekit.lifecycle import run_sync


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    # FAISS reads this once, when it is imported. One thread a call: as many calls run at once as
    # there are slots, and a pool of threads for each would make the tail explode.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from index_svc.program import PROGRAM

    return run_sync(PROGRAM, sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
