"""How far an IVF index agrees with FLAT: the share of FLAT's best k that it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from evaluation.gates import GateResult, gate_at_least, if_enough
from evaluation.index_files import IndexFile, IndexSearch
from evaluation.intervals import DEFAULT_BOOTSTRAP, Bootstrap, bootstrap_mean
from evaluation.measures import PerQuery
from retrieval_core.hits import Int64Array
from retrieval_core.vectors import Float32Matrix

QUERIES_OF_PASSAGES = "passages of the index, each searched for without itself"


@dataclass(frozen=True, slots=True, eq=False)
class VectorQueries:
    """Vectors [q, 768] to ask with, and for each the rows that may not be found.

    golds: the relevant rows of each query, None where nobody has said what is relevant.
    """

    vectors: Float32Matrix
    excluded: Sequence[Int64Array]
    description: str
    golds: Sequence[Int64Array] | None = None

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """The figures of one comparison; `worst` is the least agreement of any query."""

    flat: str
    ivf: str
    passage_count: int
    nlist: int
    nprobe: int
    k: int
    query_count: int
    queries: str
    rank1_agreement: float
    worst: float
    gate: GateResult


def passage_queries(flat: IndexFile, count: int, seed: int) -> VectorQueries:
    """A fixed sample of the index's own vectors; each is left out of its own answer."""
    picked = np.random.default_rng(seed).permutation(len(flat))[: min(count, len(flat))]
    rows = np.sort(picked).astype(np.int64)
    return VectorQueries(flat.vectors_of(rows), list(rows[:, None]), QUERIES_OF_PASSAGES)


def given_queries(vectors: Float32Matrix, count: int, description: str) -> VectorQueries:
    """The first `count` (0: all) of some query vectors [q, 768]."""
    chosen = vectors[:count] if count else vectors
    return VectorQueries(chosen, [np.empty(0, np.int64)] * len(chosen), description)


def best_rows(
    search: IndexSearch, queries: VectorQueries, k: int, nprobe: int = 0
) -> list[Int64Array]:
    """The best k rows of every query, without those that are excluded from it."""
    depth = k + max((len(rows) for rows in queries.excluded), default=0)
    ranked = search.rank_each(queries.vectors, depth, nprobe)
    return [
        each.rows[~np.isin(each.rows, excluded)][:k]
        for each, excluded in zip(ranked, queries.excluded, strict=True)
    ]


def agreement_of(
    truth: Sequence[npt.NDArray[np.int64]], found: Sequence[npt.NDArray[np.int64]]
) -> PerQuery:
    """For each query the share of the truth that was found."""
    return np.array(
        [len(np.intersect1d(a, b)) / max(len(a), 1) for a, b in zip(truth, found, strict=True)],
        np.float64,
    )


@dataclass(frozen=True, slots=True)
class AgreementCheck:
    """What to hold against each other; nprobe 0 is the index's own."""

    k: int
    nprobe: int
    threshold: float
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP


def check_agreement(
    flat: IndexFile, ivf: IndexFile, queries: VectorQueries, check: AgreementCheck
) -> AgreementReport:
    """Compare the first k of both for every query."""
    nprobe = min(check.nprobe or ivf.nprobe, ivf.nlist)
    truth = best_rows(IndexSearch(flat), queries, check.k)
    found = best_rows(IndexSearch(ivf), queries, check.k, nprobe)
    shares = agreement_of(truth, found)
    same_first = [
        bool(len(b)) and bool(a[0] == b[0]) for a, b in zip(truth, found, strict=True) if len(a)
    ]
    gate = gate_at_least(
        f"agreement@{check.k}", bootstrap_mean(shares, None, check.bootstrap), check.threshold
    )
    return AgreementReport(
        flat=flat.path.name,
        ivf=ivf.path.name,
        passage_count=len(flat),
        nlist=ivf.nlist,
        nprobe=nprobe,
        k=check.k,
        query_count=len(queries),
        queries=queries.description,
        rank1_agreement=float(np.mean(same_first)) if same_first else 1.0,
        worst=float(shares.min()),
        gate=replace(gate, verdict=if_enough(gate.verdict, len(queries))),
    )
