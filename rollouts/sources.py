"""Where the figures come from: straight from the gateways, or out of Prometheus."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from retrieval_core.errors import InvalidInput, Unavailable
from rollouts.counts import Key, Reading, counters_of

_TIMEOUT_S = 5.0
_SELECTOR = '{__name__=~"gateway_arm_.+",arm!=""}'
_INSTANCE = "instance"

Clock = Callable[[], float]


class MetricsSource(Protocol):
    """Reads the counters of all gateways."""

    @property
    def name(self) -> str:
        """Where it reads, for people."""
        ...

    def read(self) -> Reading:
        """All counters now. Unavailable where any of it cannot be had: half a figure is none."""
        ...


@dataclass(frozen=True, slots=True)
class GatewaySource:
    """Asks every gateway's /metrics; `addresses` are host:port of their HTTP."""

    addresses: Sequence[str]
    clock: Clock = time.monotonic

    @property
    def name(self) -> str:
        """The gateways' addresses."""
        return ", ".join(self.addresses)

    def read(self) -> Reading:
        """All counters now. Unavailable where a gateway does not answer."""
        return Reading(self.clock(), {address: self._read(address) for address in self.addresses})

    def _read(self, address: str) -> dict[Key, float]:
        text = fetch(f"http://{address}/metrics").decode("utf-8", "replace")
        return counters_of(
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        )


@dataclass(frozen=True, slots=True)
class PrometheusSource:
    """Asks a Prometheus that scrapes the gateways; `url` is its own, without /api."""

    url: str
    clock: Clock = time.monotonic

    @property
    def name(self) -> str:
        """The server's URL."""
        return self.url

    def read(self) -> Reading:
        """All counters as last scraped. Unavailable where it does not answer or has none."""
        answer = fetch(f"{self.url.rstrip('/')}/api/v1/query?query={quote(_SELECTOR)}")
        by_gateway: dict[str, list[Sample]] = {}
        for series in _vector(answer, self.url):
            labels = dict(series["metric"])
            sample = Sample(labels.pop("__name__"), labels, float(series["value"][1]))
            by_gateway.setdefault(labels.get(_INSTANCE, ""), []).append(sample)
        if not by_gateway:
            raise Unavailable(
                f"{self.url} has no series gateway_arm_*: does it scrape the gateways?",
                reason="NO_SERIES",
            )
        counted = {instance: counters_of(samples) for instance, samples in by_gateway.items()}
        return Reading(self.clock(), counted)


def fetch(url: str) -> bytes:
    """The body behind an http or https URL. Unavailable for anything but 200."""
    parts = urlsplit(url)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    if parts.scheme not in kinds or not parts.hostname:
        raise InvalidInput("url", f"is {url!r}, must be like http://127.0.0.1:9090")
    connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
        response = connection.getresponse()
        body: bytes = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(
            f"{parts.netloc} does not answer: {error!r}", reason="NO_ANSWER"
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise Unavailable(f"{parts.netloc} answers {response.status}", reason="NO_ANSWER")
    return body


def _vector(answer: bytes, url: str) -> list[dict[str, Any]]:
    try:
        # An error has no data.
        return list(json.loads(answer)["data"]["result"])
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(f"{url} is no Prometheus: {error}", reason="NO_ANSWER") from error
