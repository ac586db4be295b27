"""Both arms answer the same queries through the gateway; what they find is compared pair by pair.

Which arm answers is decided as for any caller, by routing keys that lie on either side of the
split; an answer of the other arm or of another release is an error and no figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

from evaluation.comparing import changes_of
from evaluation.hits_files import QueryHits
from evaluation.in_process import excluded_ids
from evaluation.intervals import DEFAULT_BOOTSTRAP, Bootstrap, Interval
from evaluation.metric_changes import DECIDING_MEASURE
from evaluation.querysets import EvaluationQuery, QuerySet
from evaluation.rankings import DEPTH
from evaluation.running import query_sets_for
from releases.bundle import open_release
from retrieval_client import Query, RetrievalClient, SearchResult
from retrieval_core.errors import FailedPrecondition
from retrieval_core.traffic_split import is_canary
from rollouts.counts import BASELINE, CANARY


@dataclass(frozen=True, slots=True)
class PairedChange:
    """R@5 of the canary minus that of the baseline, in percentage points, over so many queries."""

    change_pp: Interval
    query_count: int


class PairedQuality(Protocol):
    """Measures how much better the canary finds what the baseline is asked too."""

    def measure(self, percent: float) -> Mapping[str, PairedChange]:
        """The change by query set, while the canary has `percent` of the callers.

        Raises RetrievalError where it cannot be measured.
        """
        ...


@dataclass(frozen=True, slots=True)
class ThroughGateway:
    """Asks the gateway at `address`; `baseline` and `canary` are the folders of both releases."""

    address: str
    baseline: Path
    canary: Path
    query_sets: Sequence[Path] = ()
    concurrency: int = 2
    timeout_ms: float = 5000.0
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP

    def measure(self, percent: float) -> Mapping[str, PairedChange]:
        """As PairedQuality; FailedPrecondition where both have no query set in common."""
        old, new = self._sets(self.baseline), self._sets(self.canary)
        shared = [name for name in old if name in new]
        if not shared:
            raise FailedPrecondition(
                "no query set fits both releases; name some with --query-set", reason="NO_QUERY_SET"
            )
        with RetrievalClient(self.address, timeout_ms=self.timeout_ms) as client:
            return {name: self._compare(client, old[name], new[name], percent) for name in shared}

    def _sets(self, release: Path) -> dict[str, QuerySet]:
        found = query_sets_for(open_release(release), self.query_sets, None)
        return {each.name: each for each in found}

    def _compare(
        self, client: RetrievalClient, old: QuerySet, new: QuerySet, percent: float
    ) -> PairedChange:
        asked_old = self._ask(client, old, Arm(BASELINE, self.baseline.name, percent))
        asked_new = self._ask(client, new, Arm(CANARY, self.canary.name, percent))
        # A corpus cut otherwise numbers its passages otherwise: each side is judged by its own.
        others = {hits.query_id: hits for hits in asked_new}
        pairs = [(hits, others[hits.query_id]) for hits in asked_old if hits.query_id in others]
        if not pairs:
            raise FailedPrecondition(
                f"{old.name} has no query in common for both releases", reason="NO_QUERY_SET"
            )
        change = changes_of(pairs, self.bootstrap)[DECIDING_MEASURE]
        return PairedChange(change.difference_pp, len(pairs))

    def _ask(self, client: RetrievalClient, query_set: QuerySet, arm: Arm) -> list[QueryHits]:
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(lambda query: arm.ask(client, query), query_set.queries))


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm as a caller reaches it while the canary has `percent` of the callers."""

    name: str
    release: str
    percent: float

    @property
    def routing_key(self) -> str:
        """A key that the split sends to this arm. FailedPrecondition where no caller is."""
        wanted = self.name == CANARY
        if self.percent in {0.0, 100.0} and wanted != bool(self.percent):
            raise FailedPrecondition(f"nobody is on the {self.name}", reason="NO_CALLERS")
        keys = (f"rollout-quality-{number}" for number in count())
        return next(key for key in keys if is_canary(key, self.percent) == wanted)

    def ask(self, client: RetrievalClient, query: EvaluationQuery) -> QueryHits:
        """The arm's ranking of one query, as a caller gets it."""
        result = client.ask(
            Query(
                text=query.text or None,
                context=[item.text for item in query.context] or None,
                limit=DEPTH,
                excluded_passage_ids=excluded_ids(query),
                routing_key=self.routing_key,
            )
        )
        self._check(result)
        return QueryHits(
            query_id=query.query_id,
            gold_ids=query.gold_ids,
            ids=tuple(hit.passage_id for hit in result.hits),
            scores=tuple(hit.score for hit in result.hits),
            article_id=query.article_id,
        )

    def _check(self, result: SearchResult) -> None:
        if (result.arm, result.release_id) != (self.name, self.release):
            raise FailedPrecondition(
                f"release {result.release_id} answered as {result.arm}, "
                f"not {self.release} as {self.name}",
                reason="OTHER_ARM",
            )
