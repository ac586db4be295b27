"""Runs an A/B of the reranker as the command asks for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.ab_reranking import (
    FORMAT,
    Ask,
    RerankerAb,
    ask_pairs,
    compare_pairs,
    slice_of,
    was_reranked,
)
from evaluation.arms import Arm, check_answer, key_of_arm
from evaluation.gates import combine
from evaluation.intervals import DEFAULT_BOOTSTRAP, Bootstrap
from evaluation.querysets import EvaluationQuery
from evaluation.release_passages import ReleasePassages
from evaluation.running import find_training_record, query_sets_for
from evaluation.through_services import served_query
from releases.bundle import open_release
from releases.catalog import DEFAULT_RELEASES_FOLDER, resolve_release
from retrieval_client import RetrievalClient, SearchResult
from retrieval_core.errors import FailedPrecondition

_CONNECT_TIMEOUT_S = 5.0
BY_SKIPPING = "every query with and without rerank in turns, times as the gateway saw them"
BY_ARMS = (
    "every query on both arms in turns, the canary without rerank, times as the gateway saw them"
)


@dataclass(frozen=True, slots=True)
class AbRequest:
    """What an operator says; `count` is the most queries of each set.

    by_arms: the two arms of the gateway are A and B, of which the canary does not rerank.
    """

    created: str
    address: str
    count: int
    release: str = "current"
    releases: Path = DEFAULT_RELEASES_FOLDER
    query_sets: Sequence[Path] = ()
    timeout_ms: float = 5000.0
    by_arms: bool = False
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
        asker = _arm_asker if request.by_arms else _skip_asker
        ask = asker(client, release.release_id)
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
        how=BY_ARMS if request.by_arms else BY_SKIPPING,
        query_sets=compared,
        verdict=combine(each.verdict for each in compared),
    )


def _skip_asker(client: RetrievalClient, release_id: str) -> Ask:
    key = key_of_arm(Arm.BASELINE)

    def ask(query: EvaluationQuery, with_rerank: bool) -> SearchResult:
        asked = dataclasses.replace(served_query(query, key), skip_rerank=not with_rerank)
        result = client.ask(asked)
        check_answer(result, release_id, Arm.BASELINE)
        return result

    return ask


def _arm_asker(client: RetrievalClient, release_id: str) -> Ask:
    keys = {arm: key_of_arm(arm) for arm in Arm}

    def ask(query: EvaluationQuery, with_rerank: bool) -> SearchResult:
        arm = Arm.BASELINE if with_rerank else Arm.CANARY
        result = client.ask(served_query(query, keys[arm]))
        check_answer(result, release_id, arm)
        if not with_rerank and was_reranked(result):
            raise FailedPrecondition(
                "the canary reranks too; its RERANKER has to be off for an A/B by arms",
                reason="BOTH_ARMS_RERANK",
            )
        return result

    return ask
