"""Encoder messages to and from what the encoders take and give; input is checked here, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.v1.common_pb2 import Matrix, ServerTiming
from retrieval.v1.encoder_pb2 import (
    PRIORITY_BULK,
    PRIORITY_QUERY,
    PRIORITY_UNSPECIFIED,
    Context,
    EncodeQueryResponse,
    EncodeRequest,
    EncodeResponse,
    EncodeTiming,
    GetEncoderInfoResponse,
    QueryModelFallback,
)

from encoder_svc.manifest import EncoderManifest
from encoder_svc.query_encoder import ContextItems, EncodedQuery
from encoder_svc.query_model_choice import Fallback
from encoder_svc.query_model_runs import FallbackReason
from encoder_svc.query_models import MAX_CONTEXT_ITEMS
from encoder_svc.text_encoder import EncodedTexts, EncodeTimes, Priority
from encoder_svc.tokens import check_texts
from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows
from servicekit.call import Call
from servicekit.durations import duration_from_ns
from servicekit.matrices import matrix_from_message, matrix_to_message

_FALLBACK_REASONS = {
    reason: QueryModelFallback.Reason.Value(f"REASON_{reason.value}") for reason in FallbackReason
}
_PRIORITIES = {PRIORITY_QUERY: Priority.QUERY, PRIORITY_BULK: Priority.BULK}


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Texts in one call, and UTF-8 bytes in one text."""

    max_texts: int
    max_text_bytes: int


def texts_from_request(
    request: EncodeRequest, limits: RequestLimits
) -> tuple[Sequence[str], Priority]:
    """Read an encode call; InvalidInput names the field that is wrong."""
    texts = list(request.texts)
    if not texts:
        raise InvalidInput("texts", "has no texts", reason="NO_TEXTS")
    if len(texts) > limits.max_texts:
        raise InvalidInput(
            "texts", f"has {len(texts)} texts, at most {limits.max_texts}", reason="TOO_MANY_TEXTS"
        )
    check_texts(texts, max_bytes=limits.max_text_bytes)
    return texts, _priority(request, len(texts))


def query_text(text: str, limits: RequestLimits) -> str:
    """Check the text of a query."""
    check_texts([text], max_bytes=limits.max_text_bytes, name_of=lambda _: "text")
    return text


def context_items(context: Context, limits: RequestLimits) -> ContextItems:
    """Read the items of a context, vectors normalised; InvalidInput names the item."""
    count = len(context.items)
    if not 1 <= count <= MAX_CONTEXT_ITEMS:
        raise InvalidInput(
            "context.items", f"has {count} items, 1 to {MAX_CONTEXT_ITEMS}", reason="CONTEXT_SIZE"
        )
    items: list[str | Float32Matrix] = []
    for place, item in enumerate(context.items):
        field = f"context.items[{place}]"
        match item.WhichOneof("item"):
            case "text":
                items.append(_item_text(item.text, f"{field}.text", limits))
            case "vector":
                items.append(_unit_vector(item.vector, f"{field}.vector"))
            case _:
                raise InvalidInput(field, "is neither text nor vector", reason="EMPTY_ITEM")
    return items


def encode_response(encoded: EncodedTexts, fingerprint: str, call: Call) -> EncodeResponse:
    """Write the vectors of an encode call."""
    return EncodeResponse(
        vectors=matrix_to_message(encoded.vectors),
        token_counts=encoded.token_counts,
        truncated_indexes=encoded.truncated_indexes,
        fingerprint=fingerprint,
        timing=timing_message(encoded.times, call),
    )


def query_response(encoded: EncodedQuery, fingerprint: str, call: Call) -> EncodeQueryResponse:
    """Write the vector of a query; context_vectors stay absent for a text."""
    context = encoded.context_vectors
    return EncodeQueryResponse(
        vector=matrix_to_message(encoded.vector),
        context_vectors=None if context is None else matrix_to_message(context),
        fingerprint=fingerprint,
        query_model=encoded.query_model,
        query_model_elapsed=duration_from_ns(encoded.query_model_ns),
        truncated=encoded.truncated,
        query_model_fallback=_fallback_message(encoded.fallback),
        timing=timing_message(encoded.times, call),
    )


def _fallback_message(fallback: Fallback | None) -> QueryModelFallback | None:
    if fallback is None:
        return None
    return QueryModelFallback(
        requested=fallback.requested, reason=_FALLBACK_REASONS[fallback.reason]
    )


def timing_message(times: EncodeTimes, call: Call) -> EncodeTiming:
    """Where the time went; taken last, so that `elapsed` holds what came before."""
    return EncodeTiming(
        server=ServerTiming(
            queued=duration_from_ns(call.queued_ns + times.queued_ns),
            elapsed=duration_from_ns(call.elapsed_ns()),
        ),
        tokenize=duration_from_ns(times.tokenize_ns),
        run=duration_from_ns(times.run_ns),
        cached_count=times.cached_count,
        batch_size=times.batch_size,
    )


def encoder_info(
    manifest: EncoderManifest, query_models: Sequence[str], version: str
) -> GetEncoderInfoResponse:
    """Say which model is served."""
    return GetEncoderInfoResponse(
        name=manifest.name,
        fingerprint=manifest.fingerprint,
        dimensions=manifest.dimensions,
        max_tokens=manifest.max_tokens,
        precision=manifest.precision,
        query_models=query_models,
        version=version,
    )


def _priority(request: EncodeRequest, count: int) -> Priority:
    if request.priority == PRIORITY_UNSPECIFIED:
        return Priority.BULK if count > 1 else Priority.QUERY
    priority = _PRIORITIES.get(request.priority)
    if priority is None:
        raise InvalidInput("priority", "must be QUERY or BULK", reason="UNKNOWN_PRIORITY")
    return priority


def _item_text(text: str, field: str, limits: RequestLimits) -> str:
    check_texts([text], max_bytes=limits.max_text_bytes, name_of=lambda _: field)
    return text


def _unit_vector(message: Matrix, field: str) -> Float32Matrix:
    vector = matrix_from_message(message, columns=DIMENSIONS, field=field, max_rows=1)
    if not vector.any():
        raise InvalidInput(field, "has no direction: every element is zero", reason="ZERO_VECTOR")
    return normalize_rows(vector)
