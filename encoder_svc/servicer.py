"""The RPC methods of the encoder: convert, encode, convert."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.v1.encoder_pb2 import (
    EncodeQueryRequest,
    EncodeQueryResponse,
    EncodeRequest,
    EncodeResponse,
    GetEncoderInfoRequest,
    GetEncoderInfoResponse,
)
from retrieval.v1.encoder_pb2_grpc import (
    EncoderServiceServicer,
    add_EncoderServiceServicer_to_server,
)

from encoder_svc.converters import (
    RequestLimits,
    context_items,
    encode_response,
    encoder_info,
    query_response,
    query_text,
    texts_from_request,
)
from encoder_svc.manifest import EncoderManifest
from encoder_svc.observing import Observer
from encoder_svc.query_encoder import EncodedQuery, QueryEncoder
from encoder_svc.text_encoder import TextEncoder
from retrieval_core.errors import InvalidInput
from servicekit.binding import Service
from servicekit.call import current_call

SERVICE_NAME = "retrieval.v1.EncoderService"


@dataclass(frozen=True, slots=True)
class Encoders:
    """What a servicer answers with."""

    manifest: EncoderManifest
    texts: TextEncoder
    queries: QueryEncoder
    limits: RequestLimits


class EncoderServicer(EncoderServiceServicer):
    """Serves one loaded model."""

    def __init__(
        self, encoders: Encoders, observer: Observer, info: GetEncoderInfoResponse
    ) -> None:
        self._encoders = encoders
        self._observer = observer
        self._info = info
        self._fingerprint = encoders.manifest.fingerprint

    async def Encode(  # noqa: N802 - the name is on the wire
        self, request: EncodeRequest, context: object
    ) -> EncodeResponse:
        """Vectors of texts, in their order."""
        del context
        texts, priority = texts_from_request(request, self._encoders.limits)
        encoded = await self._encoders.texts.encode(texts, priority)
        self._observer.record(encoded.times, len(texts))
        return encode_response(encoded, self._fingerprint, current_call())

    async def EncodeQuery(  # noqa: N802 - the name is on the wire
        self, request: EncodeQueryRequest, context: object
    ) -> EncodeQueryResponse:
        """The vector of a query."""
        del context
        encoded = await self._encode_query(request)
        return query_response(encoded, self._fingerprint, current_call())

    async def GetEncoderInfo(  # noqa: N802 - the name is on the wire
        self, request: GetEncoderInfoRequest, context: object
    ) -> GetEncoderInfoResponse:
        """Say which model is served."""
        del request, context
        return self._info

    async def _encode_query(self, request: EncodeQueryRequest) -> EncodedQuery:
        queries, limits = self._encoders.queries, self._encoders.limits
        match request.WhichOneof("query"):
            case "text":
                encoded = await queries.encode_text(query_text(request.text, limits))
                count = 1
            case "context":
                items = context_items(request.context, limits)
                encoded = await queries.encode_context(items, request.query_model)
                count = sum(isinstance(item, str) for item in items)
                self._observer.record_context(encoded.query_model, encoded.fallback)
            case _:
                raise InvalidInput("query", "is neither text nor context", reason="NO_QUERY")
        self._observer.record(encoded.times, count)
        return encoded


def encoder_service(
    encoders: Encoders, observer: Observer, query_models: list[str], version: str
) -> Service:
    """The service to register with a server."""
    info = encoder_info(encoders.manifest, query_models, version)
    servicer = EncoderServicer(encoders, observer, info)
    return Service(SERVICE_NAME, add_EncoderServiceServicer_to_server, servicer)
