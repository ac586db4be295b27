"""Errors to and from gRPC status: the only module that names gRPC codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from retrieval_core.errors import (
    Cancelled,
    DamagedArtifact,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    InternalError,
    InvalidInput,
    NotFound,
    Overloaded,
    RetrievalError,
    Unauthenticated,
    Unavailable,
)

DOMAIN = "retrieval.v1"
OK_NAME = grpc.StatusCode.OK.name
INTERNAL_TEXT = "internal error"
RETRYABLE_CODE_NAMES = (grpc.StatusCode.UNAVAILABLE.name,)
OVERLOADED_RETRY_MS = 50

_DETAILS_KEY = "grpc-status-details-bin"

_CODES: dict[type[RetrievalError], grpc.StatusCode] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    Cancelled: grpc.StatusCode.CANCELLED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    DamagedArtifact: grpc.StatusCode.DATA_LOSS,
    InternalError: grpc.StatusCode.INTERNAL,
}

# Codes that no part of ours sends, by what a caller should make of them.
_FOREIGN_LEAVES: dict[grpc.StatusCode, type[RetrievalError]] = {
    grpc.StatusCode.OUT_OF_RANGE: InvalidInput,
    grpc.StatusCode.PERMISSION_DENIED: Unauthenticated,
    grpc.StatusCode.ALREADY_EXISTS: FailedPrecondition,
    grpc.StatusCode.ABORTED: Unavailable,
    grpc.StatusCode.UNIMPLEMENTED: InternalError,
    grpc.StatusCode.UNKNOWN: InternalError,
}

_LEAVES: dict[grpc.StatusCode, type[RetrievalError]] = {
    **{code: leaf for leaf, code in _CODES.items()},
    **_FOREIGN_LEAVES,
}
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class WireStatus:
    """What leaves a server for one error."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def code_of(error: RetrievalError) -> grpc.StatusCode:
    """The canonical code of an error; a leaf that the table lacks is INTERNAL."""
    for cls in type(error).__mro__:
        code = _CODES.get(cls)
        if code is not None:
            return code
    return grpc.StatusCode.INTERNAL


def code_name(error: RetrievalError) -> str:
    """The name of the canonical code, as metrics and logs show it."""
    return code_of(error).name


def code_number(error: RetrievalError) -> int:
    """The number of the canonical code, as SearchError carries it."""
    return int(code_of(error).value[0])


def is_defect(error: RetrievalError) -> bool:
    """Whether the error is a defect of ours, whose text is for the log only."""
    return code_of(error) is grpc.StatusCode.INTERNAL


def public_text(error: RetrievalError) -> str:
    """The text that may leave the server: a defect of ours shows none of its own."""
    return INTERNAL_TEXT if is_defect(error) else error.message


def wire_status(error: RetrievalError, *, text: str | None = None) -> WireStatus:
    """Code, text and google.rpc details of an error. `text` replaces the public text."""
    code = code_of(error)
    details = public_text(error) if text is None else text
    status = status_pb2.Status(code=code.value[0], message=details)
    for detail in _details(error):
        status.details.add().Pack(detail)
    return WireStatus(code, details, ((_DETAILS_KEY, status.SerializeToString()),))


def error_from_rpc(error: grpc.RpcError) -> RetrievalError:
    """Give the leaf back that another server raised, with its reason and violations.

    Works for errors of both flavours of channel. Without google.rpc details (gRPC itself answered)
    the reason is the leaf's own.
    """
    code = error.code()
    text = error.details() or code.name.lower()
    reason, violations = _received_details(trailing_bytes(error, _DETAILS_KEY))
    if reason is None and _is_oversize(code, text):
        return InvalidInput("request", text, reason="MESSAGE_TOO_LARGE")
    return _leaf(code, text, reason, violations)


def error_from_code(code: int, reason: str, message: str, field: str = "") -> RetrievalError:
    """Rebuild an error that travelled inside of a message instead of as a status."""
    known = _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
    violations = (FieldViolation(field, message),) if field else ()
    return _leaf(known, message, reason or None, violations)


def trailing_bytes(error: grpc.RpcError, key: str) -> bytes | None:
    """Binary trailing metadata that came with an error, or None."""
    # Both flavours of error have pairs here, though of types with no common base.
    pairs: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()  # type: ignore[assignment]
    for name, value in pairs:
        if name == key and isinstance(value, bytes):
            return value
    return None


def _details(error: RetrievalError) -> list[Message]:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if isinstance(error, InvalidInput):
        details.append(_bad_request(error.violations))
    if isinstance(error, Overloaded):
        delay = duration_pb2.Duration(nanos=OVERLOADED_RETRY_MS * 1_000_000)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def _bad_request(violations: tuple[FieldViolation, ...]) -> Message:
    bad: Message = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in violations
        ]
    )
    return bad


def _received_details(data: bytes | None) -> tuple[str | None, tuple[FieldViolation, ...]]:
    status = status_pb2.Status()
    try:
        status.ParseFromString(data or b"")
    except DecodeError:
        # A foreign server may put anything there; its code and text still count.
        return None, ()
    reason: str | None = None
    violations: tuple[FieldViolation, ...] = ()
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(info):
            reason = info.reason or None
        elif detail.Unpack(bad):
            violations = tuple(FieldViolation(v.field, v.description) for v in bad.field_violations)
    return reason, violations


def _is_oversize(code: grpc.StatusCode, text: str) -> bool:
    # gRPC itself answers an oversized message, with the code of overload and nothing but a text.
    return code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text


def _leaf(
    code: grpc.StatusCode, text: str, reason: str | None, violations: tuple[FieldViolation, ...]
) -> RetrievalError:
    leaf = _LEAVES.get(code, InternalError)
    if issubclass(leaf, InvalidInput):
        return _invalid_input(text, reason, violations)
    if code in _FOREIGN_LEAVES and reason is None:
        reason = code.name
    return leaf(text, reason=reason)


def _invalid_input(
    text: str, reason: str | None, violations: tuple[FieldViolation, ...]
) -> InvalidInput:
    first, *rest = violations or (FieldViolation("request", text),)
    return InvalidInput(first.field, first.description, reason=reason, more=tuple(rest))
