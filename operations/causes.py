"""From what was seen to the likely cause: a table of rules, the most harmful first.

A rule looks for one thing and returns the evidence for it, or nothing. What a later rule sees often
follows from an earlier one, so that the first that applies is what to look at first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from operations import evidence
from operations.observations import Observations

_STAGE_REMEDIES: Mapping[str, str] = {
    "ENCODE": "more encoders, or shorter queries",
    "QUERY_MODEL": "tools/flags.py set RETRIEVER_IMPL=recency, which costs next to nothing",
    "SEARCH": "tools/nprobe_sweep.py, or more shards",
    "RERANK": "more rerankers, or tools/flags.py set RERANKER=off",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that is wrong, the evidence for it, and what to do."""

    name: str
    cause: str
    evidence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Rule:
    """`look` returns the evidence, or an empty text where there is none."""

    name: str
    cause: str
    remedy: str
    look: Callable[[Observations], str]


def find_causes(seen: Observations) -> list[Cause]:
    """Every cause there is evidence for, the likeliest first."""
    found = [(rule, rule.look(seen)) for rule in RULES]
    return [
        Cause(rule.name, rule.cause, evidence, rule.remedy) for rule, evidence in found if evidence
    ]


RULES: tuple[Rule, ...] = (
    Rule(
        "damaged_release",
        "the release is not there, or is damaged",
        "bash scripts/rollback_retriever.sh; tools/release.py verify NAME names every file",
        evidence.damaged_release,
    ),
    Rule(
        "nothing_started",
        "nothing is running",
        "make up RELEASE=NAME, or --gateway HOST:PORT for one that runs elsewhere",
        evidence.nothing_started,
    ),
    Rule(
        "gateway_gone",
        "the gateway does not answer",
        "python -m deploy.local restart gateway; its log says why it ended",
        evidence.gateway_gone,
    ),
    Rule(
        "arms_refused",
        "the arms file was refused: the servers of before are still asked",
        "python -m deploy.local switch --release NAME writes a right one",
        evidence.arms_refused,
    ),
    Rule(
        "other_fingerprint",
        "servers are of different encoders: their vectors cannot be compared",
        "serve one release everywhere: python -m deploy.local switch --release NAME",
        evidence.other_fingerprint,
    ),
    Rule(
        "encoder_gone",
        "no encoder answers: texts cannot become queries",
        "python -m deploy.local restart encoder; its log says why",
        evidence.not_serving("encoder"),
    ),
    Rule(
        "shard_gone",
        "a shard does not answer: answers are incomplete",
        "python -m deploy.local restart shard-N; its log says why",
        evidence.not_serving("shard"),
    ),
    Rule(
        "reranker_gone",
        "no reranker answers: results stay in the order of the search",
        "python -m deploy.local restart reranker; its log says why",
        evidence.not_serving("reranker"),
    ),
    Rule(
        "flags_refused",
        "the flags file was refused: the last good flags are in force",
        "tools/flags.py show says what is wrong; tools/flags.py set NAME=VALUE writes a right one",
        evidence.flags_refused,
    ),
    Rule(
        "kill_switch",
        "the kill switch is flipped: no reranker, no canary, no learned query model",
        "tools/flags.py restore, once what it was flipped for is over",
        evidence.killed,
    ),
    Rule(
        "norms",
        "vectors are not of unit norm: scores are no cosines",
        "tools/check_l2_norms.py names the rows; build the release anew",
        evidence.no_norm,
    ),
    Rule(
        "overload",
        "more is asked than can be answered",
        "more gateways and shards, or fewer callers",
        evidence.overloaded,
    ),
    *(
        Rule(
            f"{stage.lower()}_over_budget",
            f"{stage} takes longer than its budget",
            remedy,
            evidence.over_budget(stage),
        )
        for stage, remedy in _STAGE_REMEDIES.items()
    ),
    Rule(
        "total_over_budget",
        "requests take longer than their budget, though no stage alone does",
        "look at UNACCOUNTED and at what else runs on the machine",
        evidence.over_budget("TOTAL"),
    ),
    Rule(
        "recall",
        "the index misses what exact search finds",
        "tools/nprobe_sweep.py --write-operating-point finds the nprobe",
        evidence.low_recall,
    ),
    Rule(
        "imbalance",
        "lists of the index are of very different lengths: some searches are slow",
        "train the index anew, with more --nlist",
        evidence.imbalanced,
    ),
    Rule(
        "memory",
        "a server's memory has grown since it was warm",
        "python -m deploy.local restart NAME gives it back; compare again after an hour",
        evidence.memory_growth,
    ),
    Rule(
        "corpus_growth",
        "the corpus has outgrown the index",
        "build a release of the corpus as it is now",
        evidence.corpus_growth,
    ),
    Rule(
        "other_release",
        "another release is served than the one that is current",
        "tools/release.py promote NAME, or python -m deploy.local switch --release current",
        evidence.other_release,
    ),
)
