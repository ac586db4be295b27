"""A diagnosis on one page: the likely cause first, then everything it was read from."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from evaluation.tables import figure, open_console, show_table
from operations.causes import Cause
from operations.observations import Observations, ServerView
from operations.pairs import show_pairs


def show_diagnosis(seen: Observations, causes: Sequence[Cause]) -> None:
    """Print the page."""
    console = open_console()
    _show_causes(console, causes)
    show_pairs(console, "", _summary_rows(seen))
    if seen.servers:
        columns = ["server", "address", "as", "state", "MB", "over warm"]
        show_table(console, "processes", columns, [_server_row(each) for each in seen.servers])
    if seen.services:
        columns = ["behind the gateway", "state", "release", "passages", ""]
        show_table(console, "", columns, _service_rows(seen))
    if seen.stages:
        columns = ["stage", "requests", "P50 ms", "P95 ms", "P99 ms", "budget ms", ""]
        show_table(console, "recent requests", columns, _stage_rows(seen))
    if seen.errors:
        rows = [[line.time, line.server, line.text] for line in seen.errors]
        show_table(console, "last errors", ["time", "server", ""], rows)


def _show_causes(console: Console, causes: Sequence[Cause]) -> None:
    if not causes:
        console.print("likely cause: none; everything that was looked at is as it should be\n")
        return
    for place, cause in enumerate(causes):
        begin = "likely cause: " if not place else "also: "
        for line in (f"{begin}{cause.cause}", f"  {cause.evidence}", f"  do: {cause.remedy}"):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print()


def _summary_rows(seen: Observations) -> list[list[str]]:
    release, health = seen.release, seen.health
    bounds = release.agreement_bounds
    interval = f" ({bounds[0]:.3f} … {bounds[1]:.3f})" if bounds else ""
    growth = "—" if release.growth_ratio is None else f"{release.growth_ratio:+.1%}"
    return [
        ["gateway", f"{seen.gateway}: {health.get('status') or seen.health_error}"],
        ["serves", str(health.get("version") or "—")],
        ["release", f"{release.name}: {release.problem or f'{release.passage_count:,} passages'}"],
        ["coverage", "—" if "coverage" not in health else f"{health['coverage']:.0%}"],
        ["flags", _flags_text(seen)],
        ["arms", _arms_text(seen)],
        ["found of exact search", f"{figure(release.agreement)}{interval} at {release.nprobe}"],
        ["worst norm", figure(release.worst_norm_deviation)],
        ["largest list over mean", figure(release.imbalance_ratio)],
        ["corpus since training", growth],
    ]


def _flags_text(seen: Observations) -> str:
    values = seen.flags.get("values") or {}
    stated = ", ".join(f"{name}={value}" for name, value in values.items())
    return f"generation {seen.flags.get('generation', '—')}: {stated or 'none set'}"


def _arms_text(seen: Observations) -> str:
    arms = seen.health.get("arms") or {}
    parts = [f"{name} {arm['release']} {arm['percent']:g} %" for name, arm in arms.items() if arm]
    return ", ".join(parts) or "—"


def _server_row(server: ServerView) -> list[str]:
    state = "healthy" if server.is_healthy else "not healthy" if server.is_alive else "gone"
    growth = server.memory_growth_ratio
    return [
        server.name,
        server.address,
        server.role,
        state,
        f"{server.memory_bytes / 1e6:.0f}",
        "—" if growth is None else f"{growth:+.0%}",
    ]


def _service_rows(seen: Observations) -> list[list[str]]:
    return [
        [
            name,
            "serving" if service.get("serving") else "NOT serving",
            str(service.get("release") or ""),
            f"{service.get('passages') or 0:,}",
            str(service.get("detail") or ""),
        ]
        for name, service in seen.all_services.items()
    ]


def _stage_rows(seen: Observations) -> list[list[str]]:
    return [
        [
            name,
            str(stage["count"]),
            *(f"{stage[key]:.2f}" for key in ("p50_ms", "p95_ms", "p99_ms")),
            f"{stage['budget_ms']:g}",
            "over" if stage["budget_ms"] and stage["p95_ms"] > stage["budget_ms"] else "",
        ]
        for name, stage in seen.stages.items()
    ]
