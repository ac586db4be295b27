"""The servers behind the gateway over gRPC: convert, call, convert."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc
from retrieval.v1.encoder_pb2 import GetEncoderInfoRequest
from retrieval.v1.encoder_pb2_grpc import EncoderServiceStub
from retrieval.v1.rerank_pb2 import GetRerankerInfoRequest
from retrieval.v1.rerank_pb2_grpc import RerankServiceStub
from retrieval.v1.shard_pb2 import GetShardInfoRequest
from retrieval.v1.shard_pb2_grpc import ShardServiceStub

from gateway.backend_converters import (
    encode_request,
    encoded_query,
    rerank_answer,
    rerank_request,
    shard_answer,
    shard_request,
)
from gateway.ports import (
    Description,
    EncodedQuery,
    RerankAnswer,
    RerankQuery,
    ShardAnswer,
    ShardQuery,
)
from gateway.query import ContextQuery, TextQuery
from retrieval_core.errors import FieldViolation, InvalidInput, RetrievalError
from servicekit.call import current_call
from servicekit.status import error_from_rpc

Response = TypeVar("Response")

# What a shard calls by another name than the public request does.
_PUBLIC_FIELDS = {"k": "limit", "query": "vector"}


class GrpcEncoder:
    """EncoderService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = EncoderServiceStub(channel)

    async def encode_query(
        self, subject: TextQuery | ContextQuery, timeout_ns: int, query_model: str = ""
    ) -> EncodedQuery:
        """Encode a text or a context."""
        request = encode_request(subject, query_model)
        call = self._stub.EncodeQuery(request, **_call_options(timeout_ns))
        return encoded_query(await _answered(call))

    async def describe(self, timeout_ns: int) -> Description:
        """Ask for the model."""
        info = await _answered(
            self._stub.GetEncoderInfo(GetEncoderInfoRequest(), timeout=timeout_ns / 1e9)
        )
        return Description(fingerprint=info.fingerprint, version=info.version)


class GrpcShard:
    """ShardService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = ShardServiceStub(channel)

    async def search(self, query: ShardQuery, timeout_ns: int) -> ShardAnswer:
        """Search."""
        call = self._stub.Search(shard_request(query), **_call_options(timeout_ns))
        return shard_answer(await _answered(call))

    async def describe(self, timeout_ns: int) -> Description:
        """Ask what the shard holds."""
        info = await _answered(
            self._stub.GetShardInfo(GetShardInfoRequest(), timeout=timeout_ns / 1e9)
        )
        return Description(
            release_id=info.release_id,
            fingerprint=info.fingerprint,
            passage_count=info.passage_count,
            lanes=tuple(info.lanes),
            shard=info.shard,
            shard_count=info.shard_count,
            version=info.version,
        )


class GrpcReranker:
    """RerankService."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = RerankServiceStub(channel)

    async def rerank(self, query: RerankQuery, timeout_ns: int) -> RerankAnswer:
        """Score the candidates."""
        call = self._stub.Rerank(rerank_request(query), **_call_options(timeout_ns))
        return rerank_answer(await _answered(call), len(query.candidates))

    async def describe(self, timeout_ns: int) -> Description:
        """Ask for the model."""
        info = await _answered(
            self._stub.GetRerankerInfo(GetRerankerInfoRequest(), timeout=timeout_ns / 1e9)
        )
        return Description(fingerprint=info.encoder_fingerprint, version=info.version)


def _call_options(timeout_ns: int) -> dict[str, Any]:
    return {"timeout": timeout_ns / 1e9, "metadata": current_call().outgoing_metadata()}


async def _answered(call: Awaitable[Response]) -> Response:
    try:
        return await call
    except grpc.RpcError as error:
        raise _public_error(error_from_rpc(error)) from None


def _public_error(error: RetrievalError) -> RetrievalError:
    if not isinstance(error, InvalidInput):
        return error
    first, *more = (
        FieldViolation(public_field(violation.field), violation.description)
        for violation in error.violations
    )
    return InvalidInput(first.field, first.description, reason=error.reason, more=tuple(more))


def public_field(field: str) -> str:
    """The public request's name of a field of an internal request."""
    head, separator, tail = field.partition(".")
    return _PUBLIC_FIELDS.get(head, head) + separator + tail
