"""The nprobe sweep: recall against FLAT and the time of a search, by number of lists scanned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.agreement import VectorQueries, agreement_of, best_rows
from evaluation.gates import LEAST_AGREEMENT, combine, if_enough
from evaluation.index_files import IndexFile, IndexSearch
from evaluation.intervals import (
    DEFAULT_BOOTSTRAP,
    Bootstrap,
    Interval,
    Verdict,
    bootstrap_mean,
    paired_difference,
)
from evaluation.measures import PerQuery
from retrieval_core.latency import summarize_ms
from retrieval_core.timing import Clock, monotonic_ns

FORMAT = "retrieval-nprobe-sweep/1"
RECALL_DEPTH = 10
MOST_LOSS_PP = 0.5
TARGET_MS = 8.0
GOLD_NEAREST = "the passage that FLAT ranks first"
GOLD_OF_SET = "the relevant passages of the query set"
_WARM_QUERIES = 20


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What to try and when it is good enough; the loss is in percentage points of R@10.

    `least_agreement` is the ship gate's: an operating point below it could not ship; 0 asks for
    none.
    """

    nprobes: Sequence[int]
    most_loss_pp: float = MOST_LOSS_PP
    target_ms: float = TARGET_MS
    least_agreement: float = LEAST_AGREEMENT
    seed: int = 0
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One nprobe: R@10, its difference from FLAT's in percentage points, agreement, times."""

    nprobe: int
    recall: float
    loss_pp: Interval
    agreement: Interval
    p50_ms: float
    p95_ms: float
    p99_ms: float
    recall_verdict: Verdict
    agreement_verdict: Verdict
    within_target: bool

    @property
    def verdict(self) -> Verdict:
        """PASS only where loss and agreement are good as whole intervals, and the time is met."""
        time = Verdict.PASS if self.within_target else Verdict.FAIL
        return combine([self.recall_verdict, self.agreement_verdict, time])


@dataclass(frozen=True, slots=True)
class Sweep:
    """All points, by nprobe, and the pick: the smallest that passes.

    Where none passes but some cannot be told from passing, the smallest of those is `picked` and
    the verdict INCONCLUSIVE: more queries decide.
    """

    format: str
    index: str
    flat: str
    release_id: str
    passage_count: int
    nlist: int
    query_count: int
    queries: str
    gold: str
    flat_recall: float
    most_loss_pp: float
    target_ms: float
    least_agreement: float
    points: Sequence[SweepPoint]
    picked: int | None
    verdict: Verdict

    @property
    def picked_point(self) -> SweepPoint | None:
        """The point of the pick."""
        return next((point for point in self.points if point.nprobe == self.picked), None)


def sweep_nprobe(
    flat: IndexFile,
    ivf: IndexFile,
    queries: VectorQueries,
    plan: SweepPlan,
    clock: Clock = monotonic_ns,
) -> Sweep:
    """Measure every nprobe of the plan; more lists than there are count as all of them.

    Where the queries do not say what is relevant, FLAT's first is the passage to find.
    """
    truth = best_rows(IndexSearch(flat), queries, RECALL_DEPTH)
    wanted = [rows[:1] for rows in truth] if queries.golds is None else queries.golds
    flat_recalls = agreement_of(wanted, truth)
    search = IndexSearch(ivf)
    nprobes = sorted({min(nprobe, ivf.nlist) for nprobe in plan.nprobes})
    times_ms = _measure_times(search, queries, nprobes, plan.seed, clock)
    points = []
    for nprobe in nprobes:
        found = best_rows(search, queries, RECALL_DEPTH, nprobe)
        judged = (agreement_of(wanted, found), flat_recalls, agreement_of(truth, found))
        points.append(_point(nprobe, judged, times_ms[nprobe], plan))
    picked, verdict = pick(points)
    return Sweep(
        format=FORMAT,
        index=ivf.path.name,
        flat=flat.path.name,
        release_id="" if ivf.release is None else ivf.release.release_id,
        passage_count=len(flat),
        nlist=ivf.nlist,
        query_count=len(queries),
        queries=queries.description,
        gold=GOLD_NEAREST if queries.golds is None else GOLD_OF_SET,
        flat_recall=float(flat_recalls.mean()),
        most_loss_pp=plan.most_loss_pp,
        target_ms=plan.target_ms,
        least_agreement=plan.least_agreement,
        points=points,
        picked=picked,
        verdict=verdict,
    )


def pick(points: Sequence[SweepPoint]) -> tuple[int | None, Verdict]:
    """The smallest nprobe that passes, or else the smallest that is not known to fail."""
    for wanted in (Verdict.PASS, Verdict.INCONCLUSIVE):
        fitting = [point.nprobe for point in points if point.verdict is wanted]
        if fitting:
            return min(fitting), wanted
    return None, Verdict.FAIL


def _measure_times(
    search: IndexSearch, queries: VectorQueries, nprobes: Sequence[int], seed: int, clock: Clock
) -> dict[int, list[float]]:
    """Milliseconds of single searches, the nprobes in turn so that a busy moment hits them all."""
    generator = np.random.default_rng(seed)
    times_ms: dict[int, list[float]] = {nprobe: [] for nprobe in nprobes}
    for number in range(-_WARM_QUERIES, len(queries)):
        row = number % len(queries)
        vector = queries.vectors[row : row + 1]
        for nprobe in generator.permutation(nprobes).tolist():
            started_ns = clock()
            search.rank(vector, RECALL_DEPTH, nprobe)
            elapsed_ns = clock() - started_ns
            if number >= 0:
                times_ms[nprobe].append(elapsed_ns / 1e6)
    return times_ms


def _point(
    nprobe: int,
    judged: tuple[PerQuery, PerQuery, PerQuery],
    times_ms: Sequence[float],
    plan: SweepPlan,
) -> SweepPoint:
    recalls, flat_recalls, agreements = judged
    loss_pp = paired_difference(100 * flat_recalls, 100 * recalls, None, plan.bootstrap)
    agreement = bootstrap_mean(agreements, None, plan.bootstrap)
    latency = summarize_ms(times_ms)
    if latency is None:
        raise ValueError("no search was timed")
    return SweepPoint(
        nprobe=nprobe,
        recall=float(recalls.mean()),
        loss_pp=loss_pp,
        agreement=agreement,
        p50_ms=latency.p50_ms,
        p95_ms=latency.p95_ms,
        p99_ms=latency.p99_ms,
        recall_verdict=if_enough(loss_pp.verdict_at_least(-plan.most_loss_pp), len(recalls)),
        agreement_verdict=if_enough(
            agreement.verdict_at_least(plan.least_agreement), len(agreements)
        ),
        within_target=latency.p95_ms <= plan.target_ms,
    )
