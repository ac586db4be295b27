"""Figures for a rollout out of a real Prometheus are those that the gateway itself shows."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from retrieval_client import RetrievalClient
from retrieval_core.errors import Unavailable
from rollouts.counts import Window, window_between
from rollouts.sources import GatewaySource, PrometheusSource
from rollouts.watching import read_first
from tests.support.local_stacks import addresses_of, build_text_release, running_stack
from tests.support.required_tools import require_tool

pytestmark = pytest.mark.timeout(300)

QUERY_COUNT = 60
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: gateway
    static_configs: [{{targets: ["{gateway}"]}}]
"""


@contextmanager
def prometheus(folder: Path, gateway: str, port: int) -> Iterator[str]:
    """The URL of a Prometheus that scrapes the gateway."""
    folder.mkdir()
    (folder / "prometheus.yml").write_text(CONFIG.format(gateway=gateway))
    command = [
        *("prometheus", f"--config.file={folder}/prometheus.yml"),
        *(f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def until_there_are_series(source: PrometheusSource) -> None:
    ends_s = time.monotonic() + 60
    while True:
        try:
            read_first(source)
        except Unavailable:
            assert time.monotonic() < ends_s
            time.sleep(0.1)
        else:
            return


def windows(gateway: GatewaySource, scraped: PrometheusSource, address: str) -> tuple[Window, ...]:
    """What both say about the same queries."""
    before = gateway.read(), scraped.read()
    with RetrievalClient(address, timeout_ms=10_000) as client:
        for number in range(QUERY_COUNT):
            client.search(f"bake a loaf {number}")
    own = window_between(before[0], gateway.read())
    ends_s = time.monotonic() + 60
    while True:
        found = window_between(before[1], scraped.read())
        if found.baseline.queries == own.baseline.queries or time.monotonic() > ends_s:
            return own, found
        time.sleep(0.1)


def test_prometheus_says_what_the_gateway_says(tmp_path: Path) -> None:
    require_tool("prometheus")
    release = build_text_release(tmp_path, shard_count=1)
    with running_stack(release, tmp_path / "run") as stack:
        gateway = stack.state().gateways[0].spec
        http = f"{gateway.host}:{gateway.other_ports[0]}"
        address = addresses_of(stack, "gateway")[0]
        with prometheus(tmp_path / "prometheus", http, gateway.port + 5) as url:
            source = PrometheusSource(url)
            until_there_are_series(source)
            own, found = windows(GatewaySource([http]), source, address)
    assert own.baseline.queries == QUERY_COUNT
    assert found.baseline == own.baseline
    assert found.canary == own.canary
