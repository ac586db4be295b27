"""Rerank messages to and from what the model takes and gives; every check of input is here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from retrieval.v1.common_pb2 import ServerTiming
from retrieval.v1.rerank_pb2 import (
    QUERY_KIND_CONTEXT,
    QUERY_KIND_QUESTION,
    GetRerankerInfoResponse,
    RerankRequest,
    RerankResponse,
)

from rerank_svc.candidates import MAX_CONTEXT_ITEMS, QueryKind, RerankInput
from rerank_svc.features import FEATURE_NAMES
from rerank_svc.manifest import RerankerManifest
from rerank_svc.model import Scored
from retrieval_core.errors import InvalidInput
from retrieval_core.hits import Float32Array
from retrieval_core.vectors import DIMENSIONS, Float16Matrix, Float32Matrix, check_unit_rows
from servicekit.durations import duration_from_ns
from servicekit.matrices import (
    float16_matrix_from_message,
    matrix_from_message,
    matrix_to_message,
)

_KINDS = {QUERY_KIND_QUESTION: QueryKind.QUESTION, QUERY_KIND_CONTEXT: QueryKind.CONTEXT}
# Cosines of unit vectors computed in float32 may pass 1 by rounding.
_LARGEST_SCORE = 1.0 + 1e-3


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What a request may hold: candidates at most, and columns of their projections exactly."""

    max_candidates: int
    projection_dimensions: int


def rerank_input_from_request(request: RerankRequest, limits: RequestLimits) -> RerankInput:
    """Read a request; InvalidInput names the wire field that is wrong."""
    kind = _KINDS.get(request.query_kind)
    if kind is None:
        raise InvalidInput("query_kind", "must be QUESTION or CONTEXT", reason="UNKNOWN_QUERY_KIND")
    count = _checked_count(request, limits.max_candidates)
    return RerankInput(
        kind=kind,
        scores=_checked_scores(request),
        article_keys=np.array(request.article_keys, np.uint64),
        projections=_checked_projections(request, count, limits.projection_dimensions),
        query=_unit_rows(request, "query", max_rows=1),
        context=_checked_context(request, kind),
    )


def response_from_scored(
    scored: Scored, request: RerankRequest, model: str, timing: ServerTiming
) -> RerankResponse:
    """Write the scores, with the features where the request asked for them."""
    response = RerankResponse(scores=scored.scores.tolist(), model=model, server=timing)
    if request.include_features:
        response.features.CopyFrom(matrix_to_message(scored.features))
        response.feature_names.extend(FEATURE_NAMES)
    return response


def timing_message(queued_ns: int, elapsed_ns: int) -> ServerTiming:
    """Write what this server measured of the call."""
    return ServerTiming(queued=duration_from_ns(queued_ns), elapsed=duration_from_ns(elapsed_ns))


def info_from_manifest(
    manifest: RerankerManifest, max_candidates: int, version: str
) -> GetRerankerInfoResponse:
    """Write what is served."""
    return GetRerankerInfoResponse(
        name=manifest.name,
        encoder_fingerprint=manifest.encoder_fingerprint,
        feature_names=manifest.feature_names,
        projection_dimensions=manifest.projection_dimensions,
        max_candidates=max_candidates,
        version=version,
    )


def _checked_count(request: RerankRequest, max_candidates: int) -> int:
    count = len(request.passage_ids)
    if count == 0:
        raise InvalidInput("passage_ids", "names no candidate", reason="NO_CANDIDATES")
    if count > max_candidates:
        raise InvalidInput(
            "passage_ids",
            f"names {count} candidates, at most {max_candidates}",
            reason="TOO_MANY_CANDIDATES",
        )
    if len(set(request.passage_ids)) != count:
        raise InvalidInput("passage_ids", "names a candidate twice", reason="DUPLICATE_CANDIDATE")
    for field, length in (
        ("scores", len(request.scores)),
        ("article_keys", len(request.article_keys)),
    ):
        if length != count:
            raise _other_length(field, length, count)
    return count


def _other_length(field: str, length: int, count: int) -> InvalidInput:
    return InvalidInput(
        field, f"has {length} entries for {count} candidates", reason="UNEQUAL_LENGTHS"
    )


def _checked_scores(request: RerankRequest) -> Float32Array:
    scores = np.array(request.scores, np.float32)
    if not np.isfinite(scores).all():
        raise InvalidInput("scores", "has NaN or infinite elements", reason="NOT_FINITE")
    if (np.abs(scores) > _LARGEST_SCORE).any():
        raise InvalidInput("scores", "has elements that are no cosine", reason="NOT_A_COSINE")
    return scores


def _checked_projections(request: RerankRequest, count: int, columns: int) -> Float16Matrix:
    projections = float16_matrix_from_message(
        request.projections, columns=columns, field="projections"
    )
    if len(projections) != count:
        raise _other_length("projections", len(projections), count)
    return projections


def _checked_context(request: RerankRequest, kind: QueryKind) -> Float32Matrix | None:
    # A matrix without rows says the same as an absent one.
    given = request.HasField("context_vectors") and request.context_vectors.rows > 0
    if given and kind is QueryKind.QUESTION:
        raise InvalidInput("context_vectors", "has no place in a question", reason="HAS_CONTEXT")
    if kind is QueryKind.QUESTION:
        return None
    return _unit_rows(request, "context_vectors", max_rows=MAX_CONTEXT_ITEMS)


def _unit_rows(request: RerankRequest, field: str, *, max_rows: int) -> Float32Matrix:
    matrix = matrix_from_message(
        getattr(request, field), columns=DIMENSIONS, field=field, max_rows=max_rows
    )
    check_unit_rows(matrix, field=field)
    return matrix
