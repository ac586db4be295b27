"""What a gateway says over HTTP: /health as JSON, /metrics as samples."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from retrieval_core.errors import InvalidInput, Unavailable

DEFAULT_GATEWAY = "127.0.0.1:8080"
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a scrape."""

    name: str
    labels: Mapping[str, str]
    value: float


def read_health(address: str) -> dict[str, Any]:
    """The body of /health at host:port, whatever its status. Unavailable without an answer."""
    try:
        body = json.loads(_get(address, "/health"))
    except ValueError as error:
        raise Unavailable(f"{address}/health: is not JSON ({error})") from error
    if not isinstance(body, dict):
        raise Unavailable(f"{address}/health: is not a JSON object")
    return body


def read_samples(address: str) -> list[Sample]:
    """All samples of /metrics at host:port. Unavailable without an answer."""
    text = _get(address, "/metrics").decode()
    return [
        Sample(sample.name, dict(sample.labels), float(sample.value))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def total(samples: Iterable[Sample], name: str, **labels: str) -> float:
    """Sum of the samples of that name that have these labels; 0 where there are none."""
    return sum(
        sample.value
        for sample in samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def _get(address: str, path: str) -> bytes:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidInput("--gateway", f"is {address!r}, must be HOST:PORT")
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{address}{path}: {error or type(error).__name__}") from error
    finally:
        connection.close()
