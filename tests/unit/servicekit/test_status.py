"""Every leaf of the error tree survives the way over the wire, and nothing else leaves."""

from __future__ import annotations

import grpc
import pytest

from retrieval_core import errors
from retrieval_core.errors import FieldViolation, InvalidInput, Overloaded, RetrievalError
from servicekit.status import (
    DOMAIN,
    OVERLOADED_RETRY_MS,
    code_name,
    code_number,
    error_from_code,
    error_from_rpc,
    trailing_bytes,
    wire_status,
)

LEAVES: list[tuple[type[RetrievalError], grpc.StatusCode]] = [
    (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (errors.FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.Cancelled, grpc.StatusCode.CANCELLED),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.DamagedArtifact, grpc.StatusCode.DATA_LOSS),
    (errors.InternalError, grpc.StatusCode.INTERNAL),
]


class Received(grpc.RpcError):
    """An error as a channel raises it."""

    def __init__(
        self, code: grpc.StatusCode, details: str, trailing: tuple[tuple[str, str | bytes], ...]
    ) -> None:
        self._code, self._details, self._trailing = code, details, trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:  # type: ignore[override]
        return self._trailing


def over_the_wire(error: RetrievalError) -> RetrievalError:
    status = wire_status(error)
    return error_from_rpc(Received(status.code, status.details, status.trailing_metadata))


@pytest.mark.parametrize(("leaf", "code"), LEAVES)
def test_a_leaf_comes_back_with_its_reason(
    leaf: type[RetrievalError], code: grpc.StatusCode
) -> None:
    error = leaf("what happened", reason="SOME_REASON")
    assert wire_status(error).code is code
    received = over_the_wire(error)
    assert type(received) is leaf
    assert received.reason == "SOME_REASON"


def test_no_leaf_of_the_tree_is_left_out() -> None:
    known = {leaf for leaf, _ in LEAVES} | {InvalidInput}
    assert set(RetrievalError.__subclasses__()) == known


def test_violations_come_back() -> None:
    more = (FieldViolation("query.rows", "is 0"),)
    received = over_the_wire(InvalidInput("limit", "is 0", reason="BAD_LIMIT", more=more))
    assert isinstance(received, InvalidInput)
    assert received.violations == (FieldViolation("limit", "is 0"), *more)
    assert received.reason == "BAD_LIMIT"


@pytest.mark.parametrize("error", [errors.InternalError("secret"), RetrievalError("secret")])
def test_the_text_of_a_defect_never_leaves(error: RetrievalError) -> None:
    status = wire_status(error)
    assert status.code is grpc.StatusCode.INTERNAL
    assert "secret" not in status.details
    assert b"secret" not in b"".join(
        value if isinstance(value, bytes) else value.encode()
        for _, value in status.trailing_metadata
    )


def test_a_subclass_has_the_code_of_its_leaf() -> None:
    class LaneFull(Overloaded):
        """No room in a lane."""

    assert code_name(LaneFull("full")) == "RESOURCE_EXHAUSTED"


def test_details_are_google_rpc_ones() -> None:
    from google.rpc import error_details_pb2, status_pb2

    ((key, value),) = wire_status(Overloaded("full")).trailing_metadata
    assert key == "grpc-status-details-bin"
    assert isinstance(value, bytes)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    details = status_pb2.Status.FromString(value).details
    assert details[0].Unpack(info)
    assert details[1].Unpack(retry)
    assert (info.domain, info.reason) == (DOMAIN, "OVERLOADED")
    assert retry.retry_delay.nanos == OVERLOADED_RETRY_MS * 1_000_000


@pytest.mark.parametrize(
    ("code", "leaf", "reason"),
    [
        (grpc.StatusCode.UNKNOWN, errors.InternalError, "UNKNOWN"),
        (grpc.StatusCode.UNIMPLEMENTED, errors.InternalError, "UNIMPLEMENTED"),
        (grpc.StatusCode.ABORTED, errors.Unavailable, "ABORTED"),
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable, "UNAVAILABLE"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Overloaded, "OVERLOADED"),
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidInput, "INVALID_INPUT"),
    ],
)
def test_foreign_errors_without_details_find_a_leaf(
    code: grpc.StatusCode, leaf: type[RetrievalError], reason: str
) -> None:
    error = error_from_rpc(Received(code, "text", ()))
    assert type(error) is leaf
    assert error.reason == reason


def test_every_code_but_ok_finds_a_leaf() -> None:
    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            assert isinstance(error_from_rpc(Received(code, "", ())), RetrievalError)


def test_oversize_is_told_from_overload() -> None:
    text = "SERVER: Received message larger than max (9 vs. 4)"
    error = error_from_rpc(Received(grpc.StatusCode.RESOURCE_EXHAUSTED, text, ()))
    assert isinstance(error, InvalidInput)
    assert error.reason == "MESSAGE_TOO_LARGE"


def test_damaged_details_do_not_hide_the_code() -> None:
    trailing = (("grpc-status-details-bin", b"\xff\xff\xff"),)
    error = error_from_rpc(Received(grpc.StatusCode.UNAVAILABLE, "gone", trailing))
    assert isinstance(error, errors.Unavailable)


def test_errors_inside_of_messages() -> None:
    sent = InvalidInput("query.text", "is empty", reason="EMPTY_TEXT")
    received = error_from_code(code_number(sent), sent.reason, "is empty", "query.text")
    assert isinstance(received, InvalidInput)
    assert received.violations == sent.violations
    assert received.reason == "EMPTY_TEXT"
    assert isinstance(error_from_code(999, "", "odd"), errors.InternalError)


def test_trailing_bytes_are_found_by_key() -> None:
    error = Received(grpc.StatusCode.UNAVAILABLE, "", (("a", "text"), ("timings-bin", b"\x01")))
    assert trailing_bytes(error, "timings-bin") == b"\x01"
    assert trailing_bytes(error, "a") is None
    assert trailing_bytes(error, "other-bin") is None
