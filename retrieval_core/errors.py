"""The error tree, without transport; servicekit.status maps it to and from gRPC codes.

RetrievalError
├── InvalidInput            the caller sent something that can never be answered; names the field
├── Unauthenticated         the caller is not known
├── FailedPrecondition      the system's state forbids it, e.g. vectors of another encoder
├── NotFound                a named thing does not exist
├── Overloaded              refused for lack of capacity; another replica may answer
├── DeadlineExceeded        the time ran out
├── Cancelled               the caller left
├── Unavailable             a part is gone; a retry may help
├── DamagedArtifact         a file on disk is not what its manifest says
└── InternalError           a defect of ours; its text never leaves the server

Every leaf carries a machine-readable `reason` in upper snake case.
"""

from __future__ import annotations

from dataclasses import dataclass

from retrieval_core.timing import Timings


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing wrong with one field of a request; `field` is the wire name, `a.b[2]` style."""

    field: str
    description: str


class RetrievalError(Exception):
    """Base of every error that a part raises on purpose."""

    default_reason = "INTERNAL"
    timings: Timings | None = None
    """Where the time went until it failed, where that is known."""

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason


class InvalidInput(RetrievalError):
    """The request can never be answered as it is; `violations` names each offending field."""

    default_reason = "INVALID_INPUT"

    def __init__(
        self,
        field: str,
        description: str,
        *,
        reason: str | None = None,
        more: tuple[FieldViolation, ...] = (),
    ) -> None:
        super().__init__(f"{field}: {description}", reason=reason)
        self.violations: tuple[FieldViolation, ...] = (FieldViolation(field, description), *more)


class Unauthenticated(RetrievalError):
    """The caller could not be identified."""

    default_reason = "UNAUTHENTICATED"


class FailedPrecondition(RetrievalError):
    """The state of the system forbids the call, e.g. a fingerprint that differs."""

    default_reason = "FAILED_PRECONDITION"


class NotFound(RetrievalError):
    """A named thing does not exist."""

    default_reason = "NOT_FOUND"


class Overloaded(RetrievalError):
    """Refused before any work for lack of capacity or of time."""

    default_reason = "OVERLOADED"


class DeadlineExceeded(RetrievalError):
    """The caller's time ran out before the answer was ready."""

    default_reason = "DEADLINE_EXCEEDED"


class Cancelled(RetrievalError):
    """The caller left before the answer was ready."""

    default_reason = "CANCELLED"


class Unavailable(RetrievalError):
    """A part that is needed cannot be reached; a retry may help."""

    default_reason = "UNAVAILABLE"


class DamagedArtifact(RetrievalError):
    """A file is missing, altered or not of the stated format; nothing of it was loaded."""

    default_reason = "DAMAGED_ARTIFACT"


class InternalError(RetrievalError):
    """A defect of ours. The message is for the log only."""

    default_reason = "INTERNAL"
