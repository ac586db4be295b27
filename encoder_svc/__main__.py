"""The encoder: `python -m encoder_svc`."""

from __future__ import annotations

import os
import sys

from servicekit.lifecycle import run_aio


def main() -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    # The tokenizer reads this when it is called: its own threads would compete with the sessions.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from encoder_svc.program import PROGRAM

    return run_aio(PROGRAM, sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
