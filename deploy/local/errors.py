"""What can go wrong with a local stack; every text says what to do next.

StackError
├── AlreadyUp       a stack of this run folder is running
├── NotUp           there is no stack to act on
├── PortsTaken      something else listens where a server should
├── NoRelease       there is nothing to serve
└── StartFailed     a server died or did not become healthy in time
"""

from __future__ import annotations


class StackError(Exception):
    """Base of what the launcher raises on purpose."""


class AlreadyUp(StackError):
    """A stack of this run folder is running."""


class NotUp(StackError):
    """There is no stack to act on."""


class PortsTaken(StackError):
    """Something else listens where a server should."""


class NoRelease(StackError):
    """There is nothing to serve."""


class StartFailed(StackError):
    """A server died or did not become healthy in time; the text ends with its last log lines."""
