"""Metrics of one process: created once, handed to who records, exposed as Prometheus text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    Summary,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from servicekit.metric_names import COMMON_METRICS, SERVICE_VERSION, MetricSpec

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_Instrument = Counter | Gauge | Histogram | Summary


_PLAIN_KINDS: dict[str, type[Counter | Gauge | Summary]] = {
    "counter": Counter,
    "gauge": Gauge,
    "summary": Summary,
}


class MetricsSource(Protocol):
    """Anything that can be scraped."""

    def exposition(self) -> bytes:
        """Prometheus text."""


class ServiceMetrics:
    """All metrics of one server: the common ones and those in `extra`.

    Recording costs 2 to 3 microseconds. A metric that was not declared raises KeyError, so that
    the documented list is the whole list.
    """

    def __init__(
        self, service: str, extra: Iterable[MetricSpec] = (), *, version: str = ""
    ) -> None:
        # The creation time beside every series would add a line each to a scrape for nothing.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.service = service
        self.registry = CollectorRegistry()
        self.specs: tuple[MetricSpec, ...] = (*COMMON_METRICS, *extra)
        self._instruments = {spec.name: self._make(spec) for spec in self.specs}
        self._series: dict[tuple[str, ...], _Instrument] = {}
        ProcessCollector(registry=self.registry)
        self.set(SERVICE_VERSION, 1, service=service, version=version)

    def record(self, spec: MetricSpec, value: float, **labels: str) -> None:
        """Add one sample to a histogram; durations in seconds."""
        self.histogram(spec, **labels).observe(value)

    def add(self, spec: MetricSpec, amount: float = 1.0, **labels: str) -> None:
        """Raise a counter."""
        self.counter(spec, **labels).inc(amount)

    def set(self, spec: MetricSpec, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._gauge(spec, labels).set(value)

    def observe(self, spec: MetricSpec, read: Callable[[], float], **labels: str) -> None:
        """Have a gauge read when it is scraped; costs nothing until then."""
        self._gauge(spec, labels).set_function(read)

    def counter(self, spec: MetricSpec, **labels: str) -> Counter:
        """One series of a counter, to keep where it is raised for every call."""
        series = self._find(spec, labels)
        if not isinstance(series, Counter):
            raise TypeError(f"{spec.name} is a {spec.kind}, not a counter")
        return series

    def histogram(self, spec: MetricSpec, **labels: str) -> Histogram:
        """One series of a histogram, to keep where it is recorded for every call."""
        series = self._find(spec, labels)
        if not isinstance(series, Histogram):
            raise TypeError(f"{spec.name} is a {spec.kind}, not a histogram")
        return series

    def summary(self, spec: MetricSpec, **labels: str) -> Summary:
        """One series of a summary, to keep where it is recorded for every call."""
        series = self._find(spec, labels)
        if not isinstance(series, Summary):
            raise TypeError(f"{spec.name} is a {spec.kind}, not a summary")
        return series

    def forget(self, spec: MetricSpec, **labels: str) -> None:
        """Drop one labelled series, so that what is gone is not scraped for ever."""
        if self._series.pop((spec.name, *labels, *labels.values()), None) is not None:
            self._instruments[spec.name].remove(*labels.values())

    def exposition(self) -> bytes:
        """All of it as Prometheus text of CONTENT_TYPE."""
        return generate_latest(self.registry)

    def value(self, sample_name: str, **labels: str) -> float | None:
        """One sample's value, e.g. of `rpc_server_duration_seconds_count`; None if absent."""
        return self.registry.get_sample_value(sample_name, labels)

    def _gauge(self, spec: MetricSpec, labels: dict[str, str]) -> Gauge:
        series = self._find(spec, labels)
        if not isinstance(series, Gauge):
            raise TypeError(f"{spec.name} is a {spec.kind}, not a gauge")
        return series

    def _find(self, spec: MetricSpec, labels: dict[str, str]) -> _Instrument:
        key = (spec.name, *labels, *labels.values())
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._open(spec, labels)
        return series

    def _open(self, spec: MetricSpec, labels: dict[str, str]) -> _Instrument:
        if tuple(labels) != spec.labels:
            raise ValueError(f"{spec.name} takes the labels {spec.labels}, in this order")
        instrument = self._instruments[spec.name]
        return instrument.labels(**labels) if labels else instrument

    def _make(self, spec: MetricSpec) -> _Instrument:
        if spec.kind == "histogram":
            return Histogram(
                spec.name,
                spec.description,
                spec.labels,
                buckets=spec.buckets,
                registry=self.registry,
            )
        make = _PLAIN_KINDS[spec.kind]
        return make(spec.name, spec.description, spec.labels, registry=self.registry)
