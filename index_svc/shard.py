"""One shard of the corpus: checks a query, searches its lists, and reads the passages found.

Everything a shard holds is immutable, so any number of threads may search it at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from index_svc.artifacts import ShardArtifacts, imbalance_ratio, list_vectors, load_artifacts
from index_svc.parameters import ivf_parameters
from index_svc.passages import PassageColumns
from index_svc.ranking import RankedRows, RowRanker
from index_svc.selection import RowSelector
from releases.bundle import Release
from retrieval_core.errors import FailedPrecondition, InvalidInput
from retrieval_core.hits import HitList, Int64Array
from retrieval_core.vectors import UNIT_NORM_TOLERANCE, Float32Matrix, check_matrix, check_unit_rows

_WARM_QUERIES = 32


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """The most that one search may ask for."""

    k: int = 1000
    nprobe: int = 4096
    lanes: int = 1000
    excluded_ids: int = 10_000


@dataclass(frozen=True, slots=True)
class ShardQuery:
    """What to search for. vector [1, d] float32, unit norm.

    nprobe 0 is the shard's default and is ignored when `exact`; no lanes means all; an empty
    fingerprint is not checked.
    """

    vector: Float32Matrix
    k: int
    nprobe: int = 0
    exact: bool = False
    lanes: tuple[str, ...] = ()
    excluded_ids: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    fingerprint: str = ""
    include_passages: bool = False
    include_projections: bool = False


@dataclass(frozen=True, slots=True)
class ShardAnswer:
    """What was found. `search_ns` is the time inside FAISS, nprobe the lists that were scanned.

    `widened` says that scores too close to the cut took a second scan.
    """

    hits: HitList
    passages: PassageColumns | None
    search_ns: int
    nprobe: int
    unknown_lanes: tuple[str, ...]
    widened: bool


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What a shard is and holds. `imbalance_ratio` is the largest list over the mean list.

    `trained_count` passages were there when the lists were trained.
    """

    release_id: str
    shard: int
    shard_count: int
    passage_count: int
    dimensions: int
    nlist: int
    nprobe: int
    lanes: tuple[str, ...]
    fingerprint: str
    projection_dimensions: int
    imbalance_ratio: float
    trained_count: int

    @property
    def growth_ratio(self) -> float:
        """Passages held over those the lists were trained on, minus 1; 0 for an empty shard."""
        return self.passage_count / self.trained_count - 1.0 if self.trained_count else 0.0


class Shard:
    """Searches one part of a release. Scores are float64 sums rounded to float32; see ranking."""

    def __init__(
        self, artifacts: ShardArtifacts, facts: ShardFacts, limits: SearchLimits | None = None
    ) -> None:
        self.facts = facts
        self._limits = limits or SearchLimits()
        self._index = artifacts.index
        self._passages = artifacts.passages
        self._projections = artifacts.projections
        self._ranker = RowRanker(artifacts.index, artifacts.passages.passage_ids)
        self._selector = RowSelector(
            artifacts.passages.lane_names,
            artifacts.passages.lane_codes,
            artifacts.passages.passage_ids,
        )

    @classmethod
    def load(
        cls, release: Release, shard: int, *, nprobe: int = 0, limits: SearchLimits | None = None
    ) -> Shard:
        """Read, verify and cross-check shard `shard`; nprobe 0 takes the release's.

        DamagedArtifact naming the file, NotFound for a shard that the release does not have.
        """
        artifacts = load_artifacts(release, shard)
        manifest = release.manifest
        facts = ShardFacts(
            release_id=release.release_id,
            shard=shard,
            shard_count=manifest.shard_count,
            passage_count=len(artifacts.passages),
            dimensions=manifest.dimensions,
            nlist=manifest.nlist,
            nprobe=min(nprobe or manifest.nprobe, manifest.nlist),
            lanes=tuple(sorted(artifacts.passages.lane_names)),
            fingerprint=manifest.encoder.fingerprint,
            projection_dimensions=manifest.projection_dimensions,
            imbalance_ratio=imbalance_ratio(artifacts.index),
            trained_count=int(artifacts.index.ntotal),
        )
        return cls(artifacts, facts, limits)

    def warm(self) -> None:
        """Search for some of the shard's own vectors, in every way that requests will."""
        for _, vectors in list_vectors(self._index):
            query = np.ascontiguousarray(vectors[:1])
            break
        else:
            return
        lanes = self._selector.lanes[:1]
        for number in range(_WARM_QUERIES):
            self.search(
                ShardQuery(
                    query,
                    min(100, self._limits.k),
                    exact=number == 0,
                    lanes=lanes if number % 2 else (),
                    include_passages=True,
                    include_projections=True,
                )
            )

    def search(self, query: ShardQuery) -> ShardAnswer:
        """The k best passages of those allowed, or as many as there are.

        Raises InvalidInput naming the wire field, and FailedPrecondition for a query of another
        encoder. Lanes that are not here are reported, and hold no passages.
        """
        self._check(query)
        selection = self._selector.select(query.lanes, query.excluded_ids)
        nprobe = self._lists_to_scan(query)
        ranked = self._ranker.rank(
            query.vector, query.k, selection.available, ivf_parameters(nprobe, selection.bitmap)
        )
        return ShardAnswer(
            hits=self._hits(ranked, with_projections=query.include_projections),
            passages=self._passages.columns(ranked.rows) if query.include_passages else None,
            search_ns=ranked.search_ns,
            nprobe=nprobe,
            unknown_lanes=self._selector.unknown_lanes(query.lanes),
            widened=ranked.widened,
        )

    def _check(self, query: ShardQuery) -> None:
        # FAISS checks the dimension by a bare assert, answers NaN with -1 and allocates any k.
        _check_vector(query.vector, self.facts.dimensions)
        if query.k < 1:
            raise InvalidInput("k", "must be at least 1", reason="OUT_OF_RANGE")
        _check_limit("k", query.k, self._limits.k)
        _check_limit("nprobe", query.nprobe, self._limits.nprobe)
        _check_count("lanes", len(query.lanes), self._limits.lanes)
        _check_count("excluded_passage_ids", len(query.excluded_ids), self._limits.excluded_ids)
        if query.fingerprint and query.fingerprint != self.facts.fingerprint:
            raise FailedPrecondition(
                f"the query is of encoder {query.fingerprint}, this shard of "
                f"{self.facts.fingerprint}",
                reason="FINGERPRINT_MISMATCH",
            )

    def _lists_to_scan(self, query: ShardQuery) -> int:
        if query.exact:
            return self.facts.nlist
        return min(query.nprobe or self.facts.nprobe, self.facts.nlist)

    def _hits(self, ranked: RankedRows, *, with_projections: bool) -> HitList:
        rows = ranked.rows
        return HitList(
            self._passages.passage_ids[rows],
            ranked.scores,
            self._passages.article_keys[rows],
            self._passages.positions[rows],
            self._projections[rows] if with_projections else None,
        )


def _check_vector(vector: Float32Matrix, dimensions: int) -> None:
    if vector.shape == (1, dimensions):
        norm = math.sqrt(float(np.vecdot(vector, vector, dtype=np.float64)[0]))
        # Almost every query leaves here; a norm that is no number does not.
        if abs(norm - 1.0) < UNIT_NORM_TOLERANCE:
            return
    check_matrix(vector, columns=dimensions, field="query", max_rows=1)
    check_unit_rows(vector, field="query")


def _check_limit(name: str, value: int, limit: int) -> None:
    if not 0 <= value <= limit:
        raise InvalidInput(name, f"is {value}; at most {limit}", reason="OUT_OF_RANGE")


def _check_count(name: str, count: int, limit: int) -> None:
    if count > limit:
        raise InvalidInput(name, f"has {count} entries; at most {limit}", reason="TOO_MANY")
