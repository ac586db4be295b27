"""From what was seen to the likely cause: a table of rules, the most harmful first.

A rule looks for one thing and returns the evidence for it, or nothing. What a later rule sees often
follows from an earlier one, so that the first that applies is what to look at first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from operations.observations import Observations
from retrieval_core.vectors import UNIT_NORM_TOLERANCE

LEAST_SAMPLES = 30
MOST_MEMORY_GROWTH = 0.20
MOST_CORPUS_GROWTH = 0.10
MOST_IMBALANCE = 8.0
MOST_REFUSED = 0.01
MOST_IN_FLIGHT = 0.9
LEAST_AGREEMENT = 0.95

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


def _damaged_release(seen: Observations) -> str:
    return seen.release.problem


def _nothing_started(seen: Observations) -> str:
    if seen.health_error and not seen.servers:
        return f"{seen.health_error}; no stack was started from here"
    return ""


def _gateway_gone(seen: Observations) -> str:
    if not seen.health_error or not seen.servers:
        return ""
    gateways = [server for server in seen.servers if server.name.startswith("gateway")]
    gone = [server.name for server in gateways if not server.is_alive]
    return f"{seen.health_error}; gone: {', '.join(gone)}" if gone else seen.health_error


def _other_fingerprint(seen: Observations) -> str:
    by_fingerprint: dict[str, list[str]] = {}
    for name, service in seen.services.items():
        if service.get("fingerprint"):
            by_fingerprint.setdefault(str(service["fingerprint"]), []).append(name)
    if len(by_fingerprint) < 2:
        return ""
    sides = [f"{', '.join(sorted(names))}: {key[:19]}" for key, names in by_fingerprint.items()]
    return " against ".join(sorted(sides))


def _not_serving(kind: str) -> Callable[[Observations], str]:
    def look(seen: Observations) -> str:
        bad = [
            f"{name} ({service.get('address')}): {service.get('detail') or 'does not serve'}"
            for name, service in seen.all_services.items()
            if name.startswith(kind) and not service.get("serving")
        ]
        return "; ".join([*bad, *_gone(seen, kind)] if bad else [])

    return look


def _gone(seen: Observations, kind: str) -> list[str]:
    dead = [
        server.name
        for server in seen.servers
        if server.name.startswith(kind) and server.role != "spare" and not server.is_alive
    ]
    return [f"its process has ended: {', '.join(dead)}"] if dead else []


def _flags_refused(seen: Observations) -> str:
    return str(seen.flags.get("error") or "")


def _arms_refused(seen: Observations) -> str:
    return str(seen.health.get("arms_error") or "")


def _killed(seen: Observations) -> str:
    return "the flags of the kill switch are in force" if seen.is_killed else ""


def _other_release(seen: Observations) -> str:
    served = str(seen.health.get("version") or "")
    if not served or served == seen.release.name:
        return ""
    return f"the gateway serves {served}, `current` is {seen.release.name}"


def _overloaded(seen: Observations) -> str:
    parts = []
    if seen.in_flight_ratio is not None and seen.in_flight_ratio >= MOST_IN_FLIGHT:
        parts.append(f"{seen.in_flight_ratio:.0%} of the calls that may be in flight are")
    if seen.refused_ratio is not None and seen.refused_ratio > MOST_REFUSED:
        parts.append(f"{seen.refused_ratio:.1%} of all requests were refused")
    return "; ".join(parts)


def _over_budget(stage: str) -> Callable[[Observations], str]:
    def look(seen: Observations) -> str:
        found = seen.stages.get(stage)
        if not found or found["count"] < LEAST_SAMPLES or not found["budget_ms"]:
            return ""
        if found["p95_ms"] <= found["budget_ms"]:
            return ""
        return (
            f"{stage} has P95 {found['p95_ms']:.2f} ms over {found['count']} requests, its budget "
            f"is {found['budget_ms']:g} ms"
        )

    return look


def _no_norm(seen: Observations) -> str:
    worst = seen.release.worst_norm_deviation
    if worst is None or worst < UNIT_NORM_TOLERANCE:
        return ""
    return f"a norm is off by {worst:.1e}, {UNIT_NORM_TOLERANCE:.0e} may be"


def _low_recall(seen: Observations) -> str:
    bounds = seen.release.agreement_bounds
    if bounds is None or bounds[1] >= LEAST_AGREEMENT:
        return ""
    return (
        f"the index finds {seen.release.agreement:.1%} of exact search's first ten at nprobe "
        f"{seen.release.nprobe} (95 % interval to {bounds[1]:.1%})"
    )


def _imbalanced(seen: Observations) -> str:
    ratio = seen.release.imbalance_ratio
    return (
        f"the largest list is {ratio:.1f} times the mean" if (ratio or 0) > MOST_IMBALANCE else ""
    )


def _memory_growth(seen: Observations) -> str:
    grown = [
        f"{server.name} uses {server.memory_bytes / 1e6:.0f} MB, {growth:.0%} more than once warm"
        for server in seen.servers
        if (growth := server.memory_growth_ratio) is not None and growth > MOST_MEMORY_GROWTH
    ]
    return "; ".join(grown)


def _corpus_growth(seen: Observations) -> str:
    ratio = seen.release.growth_ratio
    if ratio is None or ratio <= MOST_CORPUS_GROWTH:
        return ""
    return f"the corpus has {ratio:.0%} more passages than the index was trained on"


RULES: tuple[Rule, ...] = (
    Rule(
        "damaged_release",
        "the release on disk is damaged",
        "bash scripts/rollback_retriever.sh; tools/release.py verify NAME names every file",
        _damaged_release,
    ),
    Rule(
        "nothing_started",
        "nothing is running",
        "make up RELEASE=NAME, or --gateway HOST:PORT for one that runs elsewhere",
        _nothing_started,
    ),
    Rule(
        "gateway_gone",
        "the gateway does not answer",
        "python -m deploy.local restart gateway; its log says why it ended",
        _gateway_gone,
    ),
    Rule(
        "arms_refused",
        "the arms file was refused: the servers of before are still asked",
        "python -m deploy.local switch --release NAME writes a right one",
        _arms_refused,
    ),
    Rule(
        "other_fingerprint",
        "servers are of different encoders: their vectors cannot be compared",
        "serve one release everywhere: python -m deploy.local switch --release NAME",
        _other_fingerprint,
    ),
    Rule(
        "encoder_gone",
        "no encoder answers: texts cannot become queries",
        "python -m deploy.local restart encoder; its log says why",
        _not_serving("encoder"),
    ),
    Rule(
        "shard_gone",
        "a shard does not answer: answers are incomplete",
        "python -m deploy.local restart shard-N; its log says why",
        _not_serving("shard"),
    ),
    Rule(
        "reranker_gone",
        "no reranker answers: results stay in the order of the search",
        "python -m deploy.local restart reranker; its log says why",
        _not_serving("reranker"),
    ),
    Rule(
        "flags_refused",
        "the flags file was refused: the last good flags are in force",
        "tools/flags.py show says what is wrong; tools/flags.py set NAME=VALUE writes a right one",
        _flags_refused,
    ),
    Rule(
        "kill_switch",
        "the kill switch is flipped: no reranker, no canary, no learned query model",
        "tools/flags.py restore, once what it was flipped for is over",
        _killed,
    ),
    Rule(
        "norms",
        "vectors are not of unit norm: scores are no cosines",
        "tools/check_l2_norms.py names the rows; build the release anew",
        _no_norm,
    ),
    Rule(
        "overload",
        "more is asked than can be answered",
        "more gateways and shards, or fewer callers",
        _overloaded,
    ),
    *(
        Rule(
            f"{stage.lower()}_over_budget",
            f"{stage} takes longer than its budget",
            remedy,
            _over_budget(stage),
        )
        for stage, remedy in _STAGE_REMEDIES.items()
    ),
    Rule(
        "total_over_budget",
        "requests take longer than their budget, though no stage alone does",
        "look at UNACCOUNTED and at what else runs on the machine",
        _over_budget("TOTAL"),
    ),
    Rule(
        "recall",
        "the index misses what exact search finds",
        "tools/nprobe_sweep.py --write-operating-point finds the nprobe",
        _low_recall,
    ),
    Rule(
        "imbalance",
        "lists of the index are of very different lengths: some searches are slow",
        "train the index anew, with more --nlist",
        _imbalanced,
    ),
    Rule(
        "memory",
        "a server's memory has grown since it was warm",
        "python -m deploy.local restart NAME gives it back; compare again after an hour",
        _memory_growth,
    ),
    Rule(
        "corpus_growth",
        "the corpus has outgrown the index",
        "build a release of the corpus as it is now",
        _corpus_growth,
    ),
    Rule(
        "other_release",
        "another release is served than the one that is current",
        "tools/release.py promote NAME, or python -m deploy.local switch --release current",
        _other_release,
    ),
)
