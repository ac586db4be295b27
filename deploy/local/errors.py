"""What can go wrong with a local stack; every text says what to do next.

StackError
├── AlreadyUp       a stack of this run folder is running
├── NotUp           there is no stack to act on
├── PortsTaken      something else listens where a server should
├── NoRelease       there is nothing to serve
├── BadFlags        an exported flag cannot be one
├── StartFailed     a server died or did not become healthy in time
├── SwitchRefused   the gateways did not take up what they were told to ask
└── NotPossible     what was asked for does not fit what is up
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


class BadFlags(StackError):
    """An exported flag cannot be one."""


class StartFailed(StackError):
    """A server died or did not become healthy in time; the text ends with its last log lines."""


class SwitchRefused(StackError):
    """The gateways did not take up what they were told to ask; they go on as before."""


class NotPossible(StackError):
    """What was asked for does not fit what is up."""
