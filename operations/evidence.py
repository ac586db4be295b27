"""Evidence for single causes, in what was seen: a text that names it, or an empty one."""

from __future__ import annotations

from collections.abc import Callable

from operations.observations import Observations
from retrieval_core.vectors import UNIT_NORM_TOLERANCE

LEAST_SAMPLES = 30
MOST_MEMORY_GROWTH = 0.20
MOST_CORPUS_GROWTH = 0.10
MOST_IMBALANCE = 8.0
MOST_REFUSED = 0.01
MOST_IN_FLIGHT = 0.9
LEAST_AGREEMENT = 0.95


def damaged_release(seen: Observations) -> str:
    """What is wrong with the files on disk."""
    return seen.release.problem


def nothing_started(seen: Observations) -> str:
    """No answer, and no process that was started from here."""
    if seen.health_error and not seen.servers:
        return f"{seen.health_error}; no stack was started from here"
    return ""


def gateway_gone(seen: Observations) -> str:
    """No answer from a gateway that was started from here."""
    if not seen.health_error or not seen.servers:
        return ""
    gateways = [server for server in seen.servers if server.name.startswith("gateway")]
    gone = [server.name for server in gateways if not server.is_alive]
    return f"{seen.health_error}; gone: {', '.join(gone)}" if gone else seen.health_error


def other_fingerprint(seen: Observations) -> str:
    """Encoders that servers of the baseline disagree about."""
    by_fingerprint: dict[str, list[str]] = {}
    for name, service in seen.services.items():
        if service.get("fingerprint"):
            by_fingerprint.setdefault(str(service["fingerprint"]), []).append(name)
    if len(by_fingerprint) < 2:
        return ""
    sides = [f"{', '.join(sorted(names))}: {key[:19]}" for key, names in by_fingerprint.items()]
    return " against ".join(sorted(sides))


def not_serving(kind: str) -> Callable[[Observations], str]:
    """Looks for servers of one kind that do not serve."""

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


def flags_refused(seen: Observations) -> str:
    """Why the flags file was refused."""
    return str(seen.flags.get("error") or "")


def arms_refused(seen: Observations) -> str:
    """Why the arms file was refused."""
    return str(seen.health.get("arms_error") or "")


def killed(seen: Observations) -> str:
    """Whether the kill switch is flipped."""
    return "the flags of the kill switch are in force" if seen.is_killed else ""


def other_release(seen: Observations) -> str:
    """A release that is served instead of the one that should be."""
    served = str(seen.health.get("version") or "")
    if not served or served == seen.release.name:
        return ""
    return f"the gateway serves {served}, `current` is {seen.release.name}"


def overloaded(seen: Observations) -> str:
    """Calls in flight near their limit, or requests that were refused."""
    parts = []
    if seen.in_flight_ratio is not None and seen.in_flight_ratio >= MOST_IN_FLIGHT:
        parts.append(f"{seen.in_flight_ratio:.0%} of the calls that may be in flight are")
    if seen.refused_ratio is not None and seen.refused_ratio > MOST_REFUSED:
        parts.append(f"{seen.refused_ratio:.1%} of all requests were refused")
    return "; ".join(parts)


def over_budget(stage: str) -> Callable[[Observations], str]:
    """Looks for a stage whose P95 is above its budget, over enough requests."""

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


def no_norm(seen: Observations) -> str:
    """A norm that is off."""
    worst = seen.release.worst_norm_deviation
    if worst is None or worst < UNIT_NORM_TOLERANCE:
        return ""
    return f"a norm is off by {worst:.1e}, {UNIT_NORM_TOLERANCE:.0e} may be"


def low_recall(seen: Observations) -> str:
    """An index that surely misses what exact search finds."""
    bounds = seen.release.agreement_bounds
    if bounds is None or bounds[1] >= LEAST_AGREEMENT:
        return ""
    return (
        f"the index finds {seen.release.agreement:.1%} of exact search's first ten at nprobe "
        f"{seen.release.nprobe} (95 % interval to {bounds[1]:.1%})"
    )


def imbalanced(seen: Observations) -> str:
    """Lists of very different lengths."""
    ratio = seen.release.imbalance_ratio
    return (
        f"the largest list is {ratio:.1f} times the mean" if (ratio or 0) > MOST_IMBALANCE else ""
    )


def memory_growth(seen: Observations) -> str:
    """Processes that use more memory than once warm."""
    grown = [
        f"{server.name} uses {server.memory_bytes / 1e6:.0f} MB, {growth:.0%} more than once warm"
        for server in seen.servers
        if (growth := server.memory_growth_ratio) is not None and growth > MOST_MEMORY_GROWTH
    ]
    return "; ".join(grown)


def corpus_growth(seen: Observations) -> str:
    """A corpus that has outgrown its index."""
    ratio = seen.release.growth_ratio
    if ratio is None or ratio <= MOST_CORPUS_GROWTH:
        return ""
    return f"the corpus has {ratio:.0%} more passages than the index was trained on"
