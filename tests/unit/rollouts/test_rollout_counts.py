from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.arm_observing import ARM_METRICS
from retrieval_core.errors import InvalidInput, Unavailable
from rollouts.counts import (
    CONFIDENT,
    DURATION_BUCKETS,
    REQUESTS,
    SERIES,
    Reading,
    counters_of,
    window_between,
)
from rollouts.sources import GatewaySource, PrometheusSource
from rollouts.watching import read_first

EXPOSITION = """# TYPE gateway_arm_requests_total counter
gateway_arm_requests_total{arm="baseline",outcome="ok"} 90.0
gateway_arm_requests_total{arm="baseline",outcome="error"} 4.0
gateway_arm_requests_total{arm="baseline",outcome="refused"} 6.0
gateway_arm_requests_total{arm="baseline",outcome="invalid"} 50.0
gateway_arm_requests_total{arm="canary",outcome="ok"} 7.0
# TYPE gateway_arm_duration_seconds histogram
gateway_arm_duration_seconds_bucket{arm="baseline",le="0.01"} 60.0
gateway_arm_duration_seconds_bucket{arm="baseline",le="+Inf"} 90.0
gateway_arm_duration_seconds_count{arm="baseline"} 90.0
gateway_arm_duration_seconds_sum{arm="baseline"} 1.0
# TYPE gateway_arm_queries_total counter
gateway_arm_queries_total{arm="baseline"} 90.0
# TYPE gateway_arm_confident_total counter
gateway_arm_confident_total{arm="baseline"} 45.0
# TYPE something_else_total counter
something_else_total{arm="baseline"} 1.0
"""
PROMETHEUS = """{"status": "success", "data": {"resultType": "vector", "result": [
 {"metric": {"__name__": "gateway_arm_requests_total", "arm": "canary", "outcome": "ok",
             "instance": "a:8080"}, "value": [1.0, "7"]},
 {"metric": {"__name__": "gateway_arm_requests_total", "arm": "canary", "outcome": "ok",
             "instance": "b:8080"}, "value": [1.0, "5"]}]}}"""
NO_SERIES = '{"status": "success", "data": {"resultType": "vector", "result": []}}'


@contextmanager
def http_server(body: str, status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """host:port of a real server that always answers so, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def counters(text: str) -> dict[Any, float]:
    families = text_string_to_metric_families(text)
    return counters_of(sample for family in families for sample in family.samples)


def reading(at_s: float, **by_gateway: float) -> Reading:
    """Each gateway has answered so many requests of the canary."""
    key = (REQUESTS, "canary", "ok")
    return Reading(at_s, {name: {key: count} for name, count in by_gateway.items()})


def test_every_series_that_is_read_is_one_that_gateways_write() -> None:
    written = {spec.name for spec in ARM_METRICS}
    assert {series.removesuffix("_bucket") for series in SERIES} <= written


def test_a_window_has_what_was_counted_in_it() -> None:
    before = Reading(10.0, {"a": {}})
    window = window_between(before, Reading(70.0, {"a": counters(EXPOSITION)}))
    assert window.seconds == 60.0
    assert window.baseline.requests == 100  # what callers got wrong is not among them
    assert window.baseline.failed == 10
    assert (window.baseline.queries, window.baseline.confident) == (90, 45)
    assert window.baseline.durations.within(0.010) == 60
    assert window.baseline.durations.total == 90
    assert window.canary.requests == 7
    assert not [key for key in counters(EXPOSITION) if key[0] not in SERIES]


def test_gateways_add_up() -> None:
    window = window_between(reading(0, a=10, b=5), reading(60, a=17, b=5))
    assert window.canary.requests == 7


def test_a_restarted_gateway_counts_from_zero() -> None:
    window = window_between(reading(0, a=1000, b=1000), reading(60, a=30, b=1002))
    assert window.canary.requests == 32


def test_a_restart_shows_in_any_of_its_counters() -> None:
    before = Reading(0, {"a": {(REQUESTS, "canary", "ok"): 5, (CONFIDENT, "canary", ""): 50}})
    after = Reading(1, {"a": {(REQUESTS, "canary", "ok"): 9, (CONFIDENT, "canary", ""): 4}})
    window = window_between(before, after)
    assert (window.canary.requests, window.canary.confident) == (9, 4)


def test_a_gateway_that_is_gone_never_counts_backwards() -> None:
    window = window_between(reading(0, a=1000, b=10), reading(60, b=12))
    assert window.canary.requests == 2


def test_figures_come_straight_from_the_gateways() -> None:
    with http_server(EXPOSITION) as (one, asked), http_server(EXPOSITION) as (other, _):
        found = GatewaySource([one, other], clock=lambda: 5.0).read()
    assert asked == ["/metrics"]
    assert found.at_s == 5.0
    assert set(found.by_gateway) == {one, other}
    assert found.by_gateway[one][DURATION_BUCKETS, "baseline", "0.01"] == 60


def test_one_gateway_that_does_not_answer_leaves_no_figures() -> None:
    with (
        http_server(EXPOSITION) as (one, _),
        http_server("", status=503) as (other, _),
        pytest.raises(Unavailable, match="503"),
    ):
        GatewaySource([one, other]).read()
    with pytest.raises(Unavailable, match="does not answer"):
        GatewaySource([other]).read()


def test_figures_come_out_of_prometheus() -> None:
    with http_server(PROMETHEUS) as (address, asked):
        found = PrometheusSource(f"http://{address}/").read()
    assert asked[0].startswith("/api/v1/query?query=%7B__name__")
    key = (REQUESTS, "canary", "ok")
    assert {name: each[key] for name, each in found.by_gateway.items()} == {
        "a:8080": 7.0,
        "b:8080": 5.0,
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [(NO_SERIES, "has no series"), ("<html>", "is no Prometheus"), ("{}", "is no Prometheus")],
)
def test_a_prometheus_without_the_figures_is_an_error_and_not_zero(body: str, message: str) -> None:
    with http_server(body) as (address, _), pytest.raises(Unavailable, match=message):
        PrometheusSource(f"http://{address}").read()


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(InvalidInput, match="ftp"):
        PrometheusSource("ftp://127.0.0.1").read()


def test_a_gateway_without_arms_is_no_source() -> None:
    with http_server("") as (address, _), pytest.raises(Unavailable, match="counts nothing"):
        read_first(GatewaySource([address]))
