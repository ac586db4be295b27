"""What the gateways of a stack say over HTTP, and waiting until all of them say what is wanted."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from deploy.local.errors import SwitchRefused
from deploy.local.state import StartedServer

_POLL_S = 0.05
_ASK_TIMEOUT_S = 1.0
_STALE_ERROR_S = 2.0
"""For this long an error may still be about the file before."""


_ARM_REQUESTS = "gateway_arm_requests_total"
_FAILURES = ("error", "refused")


@dataclass(frozen=True, slots=True)
class Arms:
    """Releases that a gateway asks; `error` is why it refused another file, or empty."""

    baseline: str | None
    canary: str | None
    error: str = ""

    def serve(self, wanted: Arms) -> bool:
        """Whether these are the wanted releases.

        A canary that differs in its flags alone has the release of the baseline.
        """
        canaries = {wanted.canary} if wanted.canary else {None, wanted.baseline}
        return self.baseline == wanted.baseline and self.canary in canaries


def ask_health(host: str, port: int, timeout_s: float = _ASK_TIMEOUT_S) -> dict[str, Any]:
    """The JSON of a gateway's /health, whatever its HTTP status. OSError where there is none."""
    try:
        body = json.loads(_get(host, port, "/health", timeout_s))
    except ValueError as error:
        raise OSError(f"http://{host}:{port}/health is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise OSError(f"http://{host}:{port}/health is no JSON object")
    return body


def _get(host: str, port: int, path: str, timeout_s: float = _ASK_TIMEOUT_S) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except http.client.HTTPException as error:
        raise OSError(f"http://{host}:{port}{path}: {error!r}") from error
    finally:
        connection.close()


def arms_of_health(body: dict[str, Any]) -> Arms:
    """Which releases the arms of a health report have."""
    arms = body.get("arms") or {}

    def release(name: str) -> str | None:
        arm = arms.get(name)
        return arm.get("release") if isinstance(arm, dict) else None

    return Arms(release("baseline"), release("canary"), str(body.get("arms_error") or ""))


def wait_until_asked(gateways: Sequence[StartedServer], wanted: Arms, timeout_s: float) -> float:
    """Return once every gateway asks the wanted releases; how many seconds it took.

    SwitchRefused with the gateway's reason, or after `timeout_s` with what it asks instead.
    """
    began = time.monotonic()
    waiting = list(gateways)
    while waiting:
        elapsed_s = time.monotonic() - began
        found = {server.spec.name: _ask(server) for server in waiting}
        waiting = [one for one in waiting if not found[one.spec.name].serve(wanted)]
        for server in waiting:
            _refuse_if_hopeless(server, found[server.spec.name], elapsed_s, timeout_s)
        if waiting:
            time.sleep(_POLL_S)
    return time.monotonic() - began


def _ask(server: StartedServer) -> Arms:
    try:
        return arms_of_health(ask_health(server.spec.host, server.spec.other_ports[0]))
    except OSError:
        # A busy gateway may be late with this; only the time limit makes it a failure.
        return Arms(None, None)


def _refuse_if_hopeless(
    server: StartedServer, found: Arms, elapsed_s: float, timeout_s: float
) -> None:
    name = server.spec.name
    if found.error and elapsed_s > min(_STALE_ERROR_S, timeout_s):
        raise SwitchRefused(f"{name} refused it: {found.error}")
    if elapsed_s > timeout_s:
        raise SwitchRefused(
            f"{name} still asks {found.baseline} with canary {found.canary} after {timeout_s:g} s"
        )


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """What gateways have answered since they started, and what of it failed by their own fault."""

    answered: int = 0
    failed: int = 0


def count_requests(gateways: Sequence[StartedServer]) -> RequestCounts:
    """The counters of all gateways together; one that does not answer counts nothing."""
    answered = failed = 0
    for server in gateways:
        for sample in _arm_requests(server):
            answered += int(sample.value)
            failed += int(sample.value) if sample.labels.get("outcome") in _FAILURES else 0
    return RequestCounts(answered, failed)


def _arm_requests(server: StartedServer) -> list[Sample]:
    try:
        text = _get(server.spec.host, server.spec.other_ports[0], "/metrics").decode()
    except OSError:
        return []
    return [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == _ARM_REQUESTS
    ]
