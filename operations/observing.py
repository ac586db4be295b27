"""Looking at a stack and its release, as far as they can be seen from here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.errors import StackError
from deploy.local.stack import DEFAULT_FOLDER, LocalStack, ServerStatus
from operations.gateway_http import DEFAULT_GATEWAY, read_health, read_samples, total
from operations.observations import LogLine, Observations, ServerView
from operations.release_look import look_at_release
from releases.catalog import DEFAULT_RELEASES_FOLDER
from retrieval_core.errors import Unavailable
from servicekit.flag_file import is_killed

_LOG_BYTES = 256 * 1024
MOST_ERRORS = 8
_ERROR_LEVELS = ("error", "critical")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look: HOST:PORT of the gateway's HTTP, the local stack's run folder, the release."""

    gateway: str = DEFAULT_GATEWAY
    run_folder: Path = DEFAULT_FOLDER
    release: str = "current"
    releases: Path = DEFAULT_RELEASES_FOLDER
    query_count: int = 100


def observe(place: Place) -> Observations:
    """Look at everything; what cannot be seen is left out and never raises."""
    release = look_at_release(place.release, place.releases, place.query_count)
    health, health_error = _health(place.gateway)
    statuses = _statuses(place.run_folder)
    in_flight, refused = _load(place.gateway) if health else (None, None)
    return Observations(
        gateway=place.gateway,
        release=release,
        health=health,
        health_error=health_error,
        servers=[_server_view(status) for status in statuses],
        errors=_last_errors(statuses),
        in_flight_ratio=in_flight,
        refused_ratio=refused,
        is_killed=is_killed(place.run_folder / "flags.json"),
    )


def _statuses(run_folder: Path) -> list[ServerStatus]:
    try:
        return LocalStack(run_folder, {}, _quiet).status()
    except StackError:
        # A state that another version wrote names nothing that could be looked at.
        return []


def _quiet(line: str) -> None:
    del line


def _health(gateway: str) -> tuple[dict[str, Any], str]:
    try:
        return read_health(gateway), ""
    except Unavailable as error:
        return {}, error.message


def _load(gateway: str) -> tuple[float | None, float | None]:
    """Calls in flight over their limit, and refused requests over all."""
    try:
        samples = read_samples(gateway)
    except Unavailable:
        return None, None
    limit = total(samples, "rpc_server_in_flight_limit")
    requests = total(samples, "gateway_arm_requests_total")
    refused = total(samples, "gateway_arm_requests_total", outcome="refused")
    return (
        total(samples, "rpc_server_in_flight") / limit if limit else None,
        refused / requests if requests else None,
    )


def _server_view(status: ServerStatus) -> ServerView:
    spec = status.server.spec
    baseline = _baseline_bytes(f"{spec.host}:{spec.other_ports[0]}") if status.alive else 0
    return ServerView(
        name=spec.name,
        address=spec.address,
        role=status.role,
        is_alive=status.alive,
        is_healthy=status.healthy,
        memory_bytes=status.memory_bytes,
        baseline_bytes=baseline,
    )


def _baseline_bytes(address: str) -> int:
    try:
        return int(total(read_samples(address), "process_memory_baseline_bytes"))
    except Unavailable:
        return 0


def _last_errors(statuses: Sequence[ServerStatus]) -> list[LogLine]:
    """The newest error lines of all logs, the newest first."""
    found = [line for status in statuses for line in _errors_of(status)]
    return sorted(found, key=lambda line: line.time, reverse=True)[:MOST_ERRORS]


def _errors_of(status: ServerStatus) -> Iterator[LogLine]:
    for line in _tail(status.server.log):
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        if isinstance(fields, dict) and fields.get("level") in _ERROR_LEVELS:
            yield LogLine(
                status.server.spec.name, str(fields.get("time", "")), str(fields.get("message", ""))
            )


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
