#!/usr/bin/env bash
# Go back to release NAME, or to the previous one: running stack and pointers. --help says more.
cd "$(dirname "$0")/.." && exec "$(test -x .venv/bin/python && echo .venv/bin/python || echo python3)" -m deploy.local rollback "$@"
