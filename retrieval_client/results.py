"""What the client returns: frozen values without any generated message in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from retrieval_client.waterfall import Waterfall, write_lines
from retrieval_core.errors import RetrievalError
from retrieval_core.timing import Timings


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a hit stands where it stands; ranks count from 1.

    `margin` is the best candidate's cosine minus this one's, both before rerank; `features` is
    what the reranker saw, by name, and empty when it did not run.
    """

    cosine: float
    margin: float
    rank_before: int
    rank_after: int
    same_article_count: int
    features: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage found; a higher score is better. `position` counts within the article from 0."""

    passage_id: int
    article_id: str
    position: int
    lane: str
    score: float
    text: str
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class MissingShard:
    """A shard that did not contribute; `reason` is TIMED_OUT, UNREACHABLE, OVERLOADED or FAILED."""

    target: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How complete the answer is: `ratio` = shards answered / shards asked."""

    shards_asked: int
    shards_answered: int
    ratio: float
    missing: tuple[MissingShard, ...]


@dataclass(frozen=True, slots=True)
class Degradation:
    """Something left out or lowered to answer in time, e.g. SKIP_RERANK and why."""

    step: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query.

    `timings` is the gateway's ledger; `client_elapsed_ns` is what the caller saw of it, the
    network included, and 0 for a query of a batch. `nprobe` is 0 for an exact search. `arm` is
    "baseline" or "canary"; `flags_generation` counts the changes of flags the gateway has seen.
    """

    hits: tuple[Hit, ...]
    timings: Timings
    coverage: Coverage
    degradations: tuple[Degradation, ...]
    release_id: str
    fingerprint: str
    query_model: str
    truncated: bool
    nprobe: int
    client_elapsed_ns: int = 0
    arm: str = ""
    flags_generation: int = 0

    def waterfall(self) -> Waterfall:
        """Where the time of this query went."""
        return Waterfall(self.timings, self.client_elapsed_ns)

    def profile(self, file: TextIO | None = None) -> None:
        """Print where the time of this query went, to standard output unless told otherwise."""
        write_lines(self.waterfall().lines(), file)


BatchItem = SearchResult | RetrievalError
"""One answer of a batch: the result, or the error of that query alone."""


@dataclass(frozen=True, slots=True)
class Target:
    """One server, or one set of replicas, behind the gateway.

    `last_seen_ns` is the age of the last successful check; `detail` says why it is not serving.
    """

    name: str
    address: str
    serving: bool
    release_id: str
    fingerprint: str
    passage_count: int
    lanes: tuple[str, ...]
    detail: str
    last_seen_ns: int


@dataclass(frozen=True, slots=True)
class Topology:
    """What stands behind the gateway, as the gateway sees it."""

    release_id: str
    version: str
    targets: tuple[Target, ...]
