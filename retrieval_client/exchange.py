"""What both clients share around a call: the channel's options, and errors read back."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf.message import DecodeError
from retrieval.v1 import common_pb2, retrieval_pb2

from retrieval_client.converters import search_request, search_result, timings_of
from retrieval_client.queries import Query
from retrieval_client.results import BatchItem
from retrieval_core.errors import InvalidInput, RetrievalError, Unavailable
from retrieval_core.timing import Timings
from servicekit.channels import ChannelOptions, ChannelTls, target_uri
from servicekit.status import error_from_code, error_from_rpc, trailing_bytes

SERVICE = "retrieval.v1.RetrievalService"
TIMINGS_KEY = "retrieval-timings-bin"


def target_list(targets: str | Sequence[str]) -> list[str]:
    """Addresses out of `a:1,b:2` or a sequence of them.

    InvalidInput for none, or for several that one channel cannot hold.
    """
    parts = targets.split(",") if isinstance(targets, str) else list(targets)
    found = [part.strip() for part in parts if part.strip()]
    try:
        target_uri(found)
    except ValueError as error:
        raise InvalidInput("targets", str(error), reason="TARGETS") from error
    return found


def channel_options(tls: ChannelTls | None) -> ChannelOptions:
    """Round robin over the gateways that say they serve; retries on UNAVAILABLE alone."""
    return ChannelOptions(health_service=SERVICE, tls=tls)


def caller_error(error: grpc.RpcError) -> RetrievalError:
    """The leaf of the error tree, with the timings of the failed request where they were sent."""
    mapped = error_from_rpc(error)
    mapped.timings = _sent_timings(trailing_bytes(error, TIMINGS_KEY))
    return mapped


def _sent_timings(content: bytes | None) -> Timings | None:
    # Whatever a proxy did to the bytes must not hide the error they came with.
    try:
        return timings_of(common_pb2.Timings.FromString(content)) if content else None
    except DecodeError:
        return None


def unreachable(targets: Sequence[str], timeout_s: float) -> Unavailable:
    """No gateway said within the time that it serves."""
    return Unavailable(
        f"no gateway serves at {', '.join(targets)} (waited {timeout_s:g} s)", reason="UNREACHABLE"
    )


def batch_request(queries: Sequence[Query]) -> retrieval_pb2.BatchSearchRequest:
    """The message of several queries."""
    return retrieval_pb2.BatchSearchRequest(requests=[search_request(query) for query in queries])


def batch_items(message: retrieval_pb2.BatchSearchResponse) -> list[BatchItem]:
    """One result or error a query, in order."""
    return [_batch_item(item) for item in message.results]


def _batch_item(message: retrieval_pb2.BatchSearchResult) -> BatchItem:
    if message.HasField("error"):
        error = message.error
        return error_from_code(error.code, error.reason, error.message, error.field)
    return search_result(message.response)
