"""What the pipeline asks of the servers behind the gateway, without their transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.query import ContextQuery, TextQuery
from retrieval_core.coverage import Degradation
from retrieval_core.hits import Float32Array, HitList
from retrieval_core.vectors import Float32Matrix


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A query as a vector [1, d] float32, unit norm, and what it cost the encoder.

    `context_vectors` is [items, d] float32 for a context, None otherwise. `degradation` says why
    another query model than the requested one answered.
    """

    vector: Float32Matrix
    context_vectors: Float32Matrix | None = None
    fingerprint: str = ""
    query_model: str = ""
    truncated: bool = False
    queued_ns: int = 0
    query_model_ns: int = 0
    degradation: Degradation | None = None


@dataclass(frozen=True, slots=True)
class ShardQuery:
    """One search, the same for every shard. vector [1, d] float32, unit norm."""

    vector: Float32Matrix
    k: int
    nprobe: int
    exact: bool
    lanes: tuple[str, ...]
    excluded_passage_ids: tuple[int, ...]
    fingerprint: str
    include_projections: bool


@dataclass(frozen=True, slots=True)
class PassageText:
    """The readable part of one hit."""

    article_id: str
    lane: str
    text: str


class Passages(Protocol):
    """The readable parts of a shard's hits; read one by one, for the hits that are returned."""

    def __getitem__(self, offset: int) -> PassageText: ...


@dataclass(frozen=True, slots=True)
class ShardAnswer:
    """The best hits of one shard, the passages parallel to them."""

    hits: HitList
    passages: Passages
    release_id: str
    nprobe: int = 0
    unknown_lanes: tuple[str, ...] = ()
    queued_ns: int = 0


@dataclass(frozen=True, slots=True)
class RerankQuery:
    """Candidates [n] best first, with projections, and the query they answer."""

    candidates: HitList
    vector: Float32Matrix
    context_vectors: Float32Matrix | None
    fingerprint: str
    include_features: bool


@dataclass(frozen=True, slots=True)
class RerankAnswer:
    """Scores [n] float32 parallel to the candidates, and features [n, f] where asked for."""

    scores: Float32Array
    features: Float32Matrix | None = None
    feature_names: tuple[str, ...] = ()
    queued_ns: int = 0


@dataclass(frozen=True, slots=True)
class Description:
    """What a server says about itself; a field that does not apply to its kind is empty."""

    release_id: str = ""
    fingerprint: str = ""
    passage_count: int = 0
    lanes: tuple[str, ...] = ()
    shard: int = 0
    shard_count: int = 0
    version: str = ""


class Describable(Protocol):
    """A server that can be checked."""

    async def describe(self, timeout_ns: int) -> Description:
        """Ask the server what it serves; a RetrievalError when it does not answer in time."""
        ...


class EncoderClient(Describable, Protocol):
    """Makes query vectors."""

    async def encode_query(
        self, subject: TextQuery | ContextQuery, timeout_ns: int, query_model: str = ""
    ) -> EncodedQuery:
        """Encode a text, or a context with this query model ("" is the encoder's default).

        DeadlineExceeded once `timeout_ns` has passed.
        """
        ...


class ShardClient(Describable, Protocol):
    """Searches one part of the corpus."""

    async def search(self, query: ShardQuery, timeout_ns: int) -> ShardAnswer:
        """Search; DeadlineExceeded once `timeout_ns` has passed."""
        ...


class RerankerClient(Describable, Protocol):
    """Scores candidates."""

    async def rerank(self, query: RerankQuery, timeout_ns: int) -> RerankAnswer:
        """Score the candidates; DeadlineExceeded once `timeout_ns` has passed."""
        ...
