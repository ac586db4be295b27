"""Internal queries to messages, and the answers of the servers behind the gateway to values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from retrieval.v1.common_pb2 import Matrix
from retrieval.v1.encoder_pb2 import (
    Context,
    ContextItem,
    EncodeQueryRequest,
    EncodeQueryResponse,
    QueryModelFallback,
)
from retrieval.v1.rerank_pb2 import (
    QUERY_KIND_CONTEXT,
    QUERY_KIND_QUESTION,
    RerankRequest,
    RerankResponse,
)
from retrieval.v1.shard_pb2 import (
    PassageList,
    ShardServiceSearchRequest,
    ShardServiceSearchResponse,
)

from gateway.ports import (
    EncodedQuery,
    PassageText,
    RerankAnswer,
    RerankQuery,
    ShardAnswer,
    ShardQuery,
)
from gateway.query import ContextQuery, TextQuery
from retrieval_core.coverage import Degradation, DegradationStep
from retrieval_core.errors import InternalError, InvalidInput
from retrieval_core.hits import HitList
from retrieval_core.vectors import DIMENSIONS, Float32Matrix
from servicekit.durations import duration_to_ns
from servicekit.matrices import (
    matrix_from_message,
    matrix_to_message,
)

_FALLBACK_REASONS: dict[int, str] = {
    QueryModelFallback.REASON_MODEL_MISSING: "MODEL_MISSING",
    QueryModelFallback.REASON_MODEL_LATE: "MODEL_LATE",
    QueryModelFallback.REASON_MODEL_REFUSED: "MODEL_REFUSED",
}


def encode_request(subject: TextQuery | ContextQuery, query_model: str = "") -> EncodeQueryRequest:
    """Write a text, or a context and the query model for it."""
    if isinstance(subject, TextQuery):
        return EncodeQueryRequest(text=subject.text)
    items = [
        ContextItem(text=item) if isinstance(item, str) else _vector_item(item)
        for item in subject.items
    ]
    return EncodeQueryRequest(context=Context(items=items), query_model=query_model)


def _vector_item(vector: Float32Matrix) -> ContextItem:
    return ContextItem(vector=matrix_to_message(vector))


def encoded_query(response: EncodeQueryResponse) -> EncodedQuery:
    """Read the encoder's answer; a vector of another shape is a defect of the encoder."""
    context_vectors = None
    if response.HasField("context_vectors"):
        context_vectors = _own_matrix(response.context_vectors, "context_vectors")
    return EncodedQuery(
        vector=_own_matrix(response.vector, "vector"),
        context_vectors=context_vectors,
        fingerprint=response.fingerprint,
        query_model=response.query_model,
        truncated=response.truncated,
        queued_ns=duration_to_ns(response.timing.server.queued),
        query_model_ns=duration_to_ns(response.query_model_elapsed),
        degradation=_query_model_fallback(response),
    )


def _query_model_fallback(response: EncodeQueryResponse) -> Degradation | None:
    if not response.HasField("query_model_fallback"):
        return None
    fallback = response.query_model_fallback
    return Degradation(
        DegradationStep.QUERY_MODEL_FALLBACK,
        _FALLBACK_REASONS.get(fallback.reason, "MODEL_UNAVAILABLE"),
        f"{response.query_model} answered for {fallback.requested}",
    )


def _own_matrix(message: Matrix, field: str) -> Float32Matrix:
    with _no_callers_fault("encoder"):
        return matrix_from_message(message, columns=DIMENSIONS, field=field)


@contextmanager
def _no_callers_fault(server: str) -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise InternalError(f"the {server}'s answer: {error.message}") from None


def shard_request(query: ShardQuery) -> ShardServiceSearchRequest:
    """Write a search."""
    return ShardServiceSearchRequest(
        query=matrix_to_message(query.vector),
        k=query.k,
        nprobe=query.nprobe,
        exact=query.exact,
        lanes=query.lanes,
        excluded_passage_ids=query.excluded_passage_ids,
        fingerprint=query.fingerprint,
        include_passages=True,
        include_projections=query.include_projections,
    )


class WirePassages:
    """Passages that stay in their message until one is asked for."""

    __slots__ = ("_message",)

    def __init__(self, message: PassageList) -> None:
        self._message = message

    def __getitem__(self, offset: int) -> PassageText:
        message = self._message
        return PassageText(
            message.article_ids[offset], message.lanes[offset], message.texts[offset]
        )


def shard_answer(response: ShardServiceSearchResponse) -> ShardAnswer:
    """Read a shard's answer; parts that are not parallel are a defect of the shard."""
    _check_parallel(response)
    return ShardAnswer(
        hits=_hit_list(response),
        passages=WirePassages(response.passages),
        release_id=response.release_id,
        nprobe=response.nprobe,
        unknown_lanes=tuple(response.unknown_lanes),
        queued_ns=duration_to_ns(response.server.queued),
    )


def _check_parallel(response: ShardServiceSearchResponse) -> None:
    hits, passages = response.hits, response.passages
    count = len(hits.passage_ids)
    columns = (hits.scores, hits.article_keys, hits.positions)
    texts = (passages.article_ids, passages.lanes, passages.texts)
    if any(len(column) != count for column in (*columns, *texts)):
        raise InternalError("the shard's answer has columns of different lengths")
    if response.HasField("projections") and not _is_half_matrix(response.projections, count):
        raise InternalError("the shard's answer has projections of other hits")


def _is_half_matrix(matrix: Matrix, rows: int) -> bool:
    return (
        matrix.rows == rows
        and matrix.element_type == Matrix.ELEMENT_TYPE_FLOAT16
        and len(matrix.values) == 2 * rows * matrix.columns
    )


def _hit_list(response: ShardServiceSearchResponse) -> HitList:
    message = response.hits
    count = len(message.passage_ids)
    projections = None
    if count and response.HasField("projections"):
        # Passed on as they are; the reranker looks at the elements.
        halves = np.frombuffer(response.projections.values, "<f2")
        projections = halves.astype(np.float16, copy=False).reshape(count, -1)
    return HitList(
        np.array(message.passage_ids[:], np.int64),
        np.fromiter(message.scores, np.float32, count),
        np.array(message.article_keys[:], np.uint64),
        np.array(message.positions[:], np.int32),
        projections,
    )


def rerank_request(query: RerankQuery) -> RerankRequest:
    """Write the candidates as parallel arrays."""
    candidates = query.candidates
    projections = candidates.projections
    context = query.context_vectors
    return RerankRequest(
        query_kind=QUERY_KIND_QUESTION if context is None else QUERY_KIND_CONTEXT,
        passage_ids=candidates.passage_ids.tolist(),
        scores=candidates.scores.tolist(),
        article_keys=candidates.article_keys.tolist(),
        projections=None if projections is None else matrix_to_message(projections),
        query=matrix_to_message(query.vector),
        context_vectors=None if context is None else matrix_to_message(context),
        fingerprint=query.fingerprint,
        include_features=query.include_features,
    )


def rerank_answer(response: RerankResponse, candidate_count: int) -> RerankAnswer:
    """Read the scores; another number than that of the candidates is a defect of the reranker."""
    count = len(response.scores)
    if count != candidate_count:
        raise InternalError(f"the reranker scored {count} of {candidate_count} candidates")
    names = tuple(response.feature_names)
    features = None
    if response.HasField("features") and len(names) == response.features.columns:
        with _no_callers_fault("reranker"):
            features = matrix_from_message(response.features, columns=len(names), field="features")
    return RerankAnswer(
        scores=np.fromiter(response.scores, np.float32, count),
        features=features,
        feature_names=names,
        queued_ns=duration_to_ns(response.server.queued),
    )
