"""The console page reads nothing that /health does not say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.health import Health
from gateway.metrics import METRICS
from gateway.observing import Observer
from gateway.shadowing import Shadow
from servicekit.admission import Admission
from servicekit.telemetry import ServiceMetrics
from tests.support.gateway_bench import Bench
from tests.support.gateway_routes import bench_backends, router_of

PAGE = (Path(__file__).resolve().parents[3] / "gateway" / "page.html").read_text("utf-8")
OF_JAVASCRIPT = {"flatMap", "length"}


@pytest.fixture
def body() -> dict[str, Any]:
    metrics = ServiceMetrics("gateway", METRICS)
    router = router_of(bench_backends(Bench()), bench_backends(Bench()), {"CANARY_PERCENT": 5})
    shadow = Shadow(router, Admission(8, "gateway"), metrics)
    health = Health(
        router,
        Observer(metrics, {}),
        0.25,
        lambda: True,
        more=lambda: {"shadow": shadow.report()},
    )
    return health.report().body


@pytest.mark.parametrize("part", ["health", "arm", "flags", "shadow", "service"])
def test_every_key_that_the_page_reads_is_there(body: dict[str, Any], part: str) -> None:
    said = {
        "health": body,
        "arm": body["arms"]["canary"],
        "flags": body["flags"],
        "shadow": body["shadow"],
        "service": body["services"]["encoder"],
    }[part]
    read = set(re.findall(rf"(?<![.\w]){part}\.(\w+)", PAGE)) - OF_JAVASCRIPT
    assert len(read) >= 3
    assert read <= set(said)


def test_every_element_that_the_script_fills_is_in_the_page() -> None:
    filled = set(re.findall(r'byId\("(\w+)"\)', PAGE))
    assert filled <= set(re.findall(r'id="(\w+)"', PAGE))


def test_the_page_loads_nothing_from_elsewhere() -> None:
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", PAGE)
