"""Servers behind a gateway that answer from memory, and misbehave when told to."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from retrieval.v1 import encoder_pb2 as encoder
from retrieval.v1 import encoder_pb2_grpc, rerank_pb2_grpc, shard_pb2_grpc
from retrieval.v1 import rerank_pb2 as rerank
from retrieval.v1 import shard_pb2 as shard

from retrieval_core.articles import article_key
from retrieval_core.errors import FailedPrecondition, RetrievalError
from retrieval_core.hits import rank_order
from retrieval_core.projection import project, projection_matrix
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, mean_direction, normalize_rows
from servicekit.binding import Service
from servicekit.call import current_call
from servicekit.durations import duration_from_ns
from servicekit.matrices import matrix_from_message, matrix_to_message

FINGERPRINT = "sha256:" + "ab" * 32
RELEASE = "tiny-1"
LANES = ("news", "help")


def text_vector(text: str) -> Float32Matrix:
    """A unit vector [1, 768] that depends on nothing but the text."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    return normalize_rows(np.random.default_rng(seed).standard_normal((1, DIMENSIONS)))


@dataclass(slots=True)
class Behaviour:
    """How a fake answers: raises `error`, or first waits until `open_gate` is called."""

    error: RetrievalError | None = None
    call_count: int = 0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    _gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._gate.set()

    def close_gate(self) -> None:
        """Let calls in and no answer out."""
        self._gate.clear()

    def open_gate(self) -> None:
        """Answer again."""
        self._gate.set()

    async def act(self) -> None:
        """What every call of the fake goes through."""
        self.call_count += 1
        self.entered.set()
        try:
            await self._gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error is not None:
            raise self.error


class FakeEncoder(encoder_pb2_grpc.EncoderServiceServicer):
    """Vectors out of hashes; a context's vector is the mean."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.fingerprint = FINGERPRINT
        self.query_model_ns = 0
        self.last_query_model = ""

    async def Encode(  # noqa: N802
        self, request: encoder.EncodeRequest, context: object
    ) -> encoder.EncodeResponse:
        vectors = np.concatenate([text_vector(text) for text in request.texts])
        return encoder.EncodeResponse(
            vectors=matrix_to_message(vectors), fingerprint=self.fingerprint
        )

    async def EncodeQuery(  # noqa: N802
        self, request: encoder.EncodeQueryRequest, context: object
    ) -> encoder.EncodeQueryResponse:
        self.last_query_model = request.query_model
        await self.behaviour.act()
        response = encoder.EncodeQueryResponse(fingerprint=self.fingerprint)
        response.timing.server.queued.CopyFrom(duration_from_ns(1000))
        if request.WhichOneof("query") == "text":
            response.vector.CopyFrom(matrix_to_message(text_vector(request.text)))
            return response
        items = np.concatenate([_item_vector(item) for item in request.context.items])
        response.vector.CopyFrom(matrix_to_message(mean_direction(items)))
        response.context_vectors.CopyFrom(matrix_to_message(items))
        response.query_model = "mean"
        response.query_model_elapsed.CopyFrom(duration_from_ns(self.query_model_ns))
        return response

    async def GetEncoderInfo(  # noqa: N802
        self, request: encoder.GetEncoderInfoRequest, context: object
    ) -> encoder.GetEncoderInfoResponse:
        return encoder.GetEncoderInfoResponse(
            name="fake", fingerprint=self.fingerprint, dimensions=DIMENSIONS
        )


def _item_vector(item: encoder.ContextItem) -> Float32Matrix:
    if item.WhichOneof("item") == "text":
        return text_vector(item.text)
    return matrix_from_message(item.vector, columns=DIMENSIONS, field="vector")


@dataclass(slots=True)
class FakeCorpus:
    """Passage i is `text_vector(texts[i])`; article i // 4, lanes in turn."""

    texts: Sequence[str]
    vectors: Float32Matrix = field(init=False)

    def __post_init__(self) -> None:
        self.vectors = np.concatenate([text_vector(text) for text in self.texts])

    @staticmethod
    def of_size(count: int) -> FakeCorpus:
        return FakeCorpus([f"passage {index}" for index in range(count)])

    def best(self, vector: Float32Matrix, limit: int) -> list[int]:
        """The right answer: ids of the best passages in order."""
        scores = (self.vectors @ vector[0]).astype(np.float32)
        ids = np.arange(len(scores))
        best: list[int] = rank_order(scores, ids)[:limit].tolist()
        return best


class FakeShard(shard_pb2_grpc.ShardServiceServicer):
    """Passages whose id modulo the number of shards is this one's."""

    def __init__(self, corpus: FakeCorpus, index: int, shard_count: int) -> None:
        self.behaviour = Behaviour()
        self.index = index
        self.shard_count = shard_count
        self.release_id = RELEASE
        self.fingerprint = FINGERPRINT
        self.with_projections = True
        self.lanes = LANES
        self._corpus = corpus
        self._ids = np.arange(index, len(corpus.texts), shard_count)
        self._vectors = corpus.vectors[self._ids]
        self._projections = project(self._vectors, projection_matrix())

    async def Search(  # noqa: N802
        self, request: shard.ShardServiceSearchRequest, context: object
    ) -> shard.ShardServiceSearchResponse:
        await self.behaviour.act()
        if request.fingerprint and request.fingerprint != self.fingerprint:
            raise FailedPrecondition("other vectors", reason="FINGERPRINT_MISMATCH")
        return self._found(request)

    def _found(self, request: shard.ShardServiceSearchRequest) -> shard.ShardServiceSearchResponse:
        query = matrix_from_message(request.query, columns=DIMENSIONS, field="query")
        rows = self._allowed_rows(request)
        scores = (self._vectors[rows] @ query[0]).astype(np.float32)
        rows = rows[rank_order(scores, self._ids[rows])[: request.k]]
        ids = self._ids[rows]
        response = shard.ShardServiceSearchResponse(
            release_id=self.release_id,
            nprobe=0 if request.exact else request.nprobe or 8,
            unknown_lanes=[lane for lane in request.lanes if lane not in self.lanes],
        )
        response.server.queued.CopyFrom(duration_from_ns(current_call().queued_ns))
        response.hits.passage_ids.extend(ids.tolist())
        response.hits.scores.extend((self._vectors[rows] @ query[0]).tolist())
        response.hits.article_keys.extend(article_key(article_of(int(one))) for one in ids)
        response.hits.positions.extend((ids % 4).tolist())
        response.passages.article_ids.extend(article_of(int(one)) for one in ids)
        response.passages.lanes.extend(lane_of(int(one)) for one in ids)
        response.passages.texts.extend(self._corpus.texts[int(one)] for one in ids)
        if request.include_projections and self.with_projections and len(rows):
            response.projections.CopyFrom(matrix_to_message(self._projections[rows]))
        return response

    def _allowed_rows(self, request: shard.ShardServiceSearchRequest) -> np.ndarray:
        excluded = set(request.excluded_passage_ids)
        lanes = set(request.lanes)
        return np.array(
            [
                row
                for row, one in enumerate(self._ids.tolist())
                if one not in excluded and (not lanes or lane_of(one) in lanes)
            ],
            np.int64,
        )

    async def GetShardInfo(  # noqa: N802
        self, request: shard.GetShardInfoRequest, context: object
    ) -> shard.GetShardInfoResponse:
        return shard.GetShardInfoResponse(
            release_id=self.release_id,
            shard=self.index,
            shard_count=self.shard_count,
            passage_count=len(self._ids),
            dimensions=DIMENSIONS,
            lanes=self.lanes,
            fingerprint=self.fingerprint,
        )


def article_of(passage_id: int) -> str:
    return f"article-{passage_id // 4}"


def lane_of(passage_id: int) -> str:
    return LANES[passage_id % len(LANES)]


class FakeReranker(rerank_pb2_grpc.RerankServiceServicer):
    """Turns the order round: the score of a candidate is its negated cosine."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.fingerprint = FINGERPRINT
        self.last_request = rerank.RerankRequest()

    async def Rerank(  # noqa: N802
        self, request: rerank.RerankRequest, context: object
    ) -> rerank.RerankResponse:
        self.last_request = request
        await self.behaviour.act()
        if request.fingerprint and request.fingerprint != self.fingerprint:
            raise FailedPrecondition("other vectors", reason="FINGERPRINT_MISMATCH")
        scores = [-score for score in request.scores]
        response = rerank.RerankResponse(scores=scores, model="fake")
        if request.include_features:
            features = np.array([request.scores, scores], np.float32).T
            response.features.CopyFrom(matrix_to_message(np.ascontiguousarray(features)))
            response.feature_names.extend(["cosine", "negated"])
        return response

    async def GetRerankerInfo(  # noqa: N802
        self, request: rerank.GetRerankerInfoRequest, context: object
    ) -> rerank.GetRerankerInfoResponse:
        return rerank.GetRerankerInfoResponse(name="fake", encoder_fingerprint=self.fingerprint)


def encoder_service(fake: FakeEncoder) -> Service:
    add = encoder_pb2_grpc.add_EncoderServiceServicer_to_server
    return Service("retrieval.v1.EncoderService", add, fake)


def shard_service(fake: FakeShard) -> Service:
    add = shard_pb2_grpc.add_ShardServiceServicer_to_server
    return Service("retrieval.v1.ShardService", add, fake)


def rerank_service(fake: FakeReranker) -> Service:
    add = rerank_pb2_grpc.add_RerankServiceServicer_to_server
    return Service("retrieval.v1.RerankService", add, fake)
