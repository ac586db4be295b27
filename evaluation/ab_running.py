"""Runs an A/B of the reranker as the command asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.ab_reranking import FORMAT, Ask, RerankerAb, ask_pairs, compare_pairs, slice_of
from evaluation.gates import combine
from evaluation.intervals import DEFAULT_BOOTSTRAP, Bootstrap
from evaluation.querysets import EvaluationQuery
from evaluation.release_passages import ReleasePassages
from evaluation.running import find_training_record, query_sets_for
from evaluation.through_services import check_release, served_query
from releases.bundle import open_release
from releases.catalog import DEFAULT_RELEASES_FOLDER, resolve_release
from retrieval_client import RetrievalClient, SearchResult

_CONNECT_TIMEOUT_S = 5.0
HOW = "every query with and without rerank in turns, times as the gateway saw them"


@dataclass(frozen=True, slots=True)
class AbRequest:
    """What an operator says; `count` is the most queries of each set."""

    created: str
    address: str
    count: int
    release: str = "current"
    releases: Path = DEFAULT_RELEASES_FOLDER
    query_sets: Sequence[Path] = ()
    timeout_ms: float = 5000.0
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP


def run_ab(request: AbRequest) -> RerankerAb:
    """Ask all sets; FailedPrecondition where another release answers, Unavailable where none."""
    release = open_release(resolve_release(request.release, request.releases))
    sets = query_sets_for(release, request.query_sets, find_training_record(None))
    passages = ReleasePassages.open(release)
    for query_set in sets:
        passages.check_fits(query_set)
    with RetrievalClient(request.address, timeout_ms=request.timeout_ms) as client:
        client.wait_until_ready(_CONNECT_TIMEOUT_S)
        ask = _asker(client, release.release_id)
        compared = [
            compare_pairs(
                query_set, ask_pairs(slice_of(query_set, request.count), ask), request.bootstrap
            )
            for query_set in sets
        ]
    return RerankerAb(
        format=FORMAT,
        created=request.created,
        release_id=release.release_id,
        address=request.address,
        how=HOW,
        query_sets=compared,
        verdict=combine(each.verdict for each in compared),
    )


def _asker(client: RetrievalClient, release_id: str) -> Ask:
    def ask(query: EvaluationQuery, with_rerank: bool) -> SearchResult:
        result = client.ask(served_query(query, skip_rerank=not with_rerank))
        check_release(result, release_id)
        return result

    return ask
