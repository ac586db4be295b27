"""The canary manifest beside the release before, as processes: real servers, real names."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.manifest_flags import carry_flags
from retrieval_core.flags import FlagValues
from tests.support.kubernetes_objects import (
    CANARY,
    WORKLOADS,
    baseline_manifest,
    name_of,
    objects_of,
    of_kind,
)
from tests.support.operator_shell import build_releases
from tests.support.pod_processes import (
    PodProcesses,
    mounted_flags,
    pod_processes,
    write_config_map,
)

pytestmark = pytest.mark.timeout(600)

CALLERS = 400
ASK = f"""
from collections import Counter
from retrieval_client import RetrievalClient
with RetrievalClient("retriever-service-headless:50050", timeout_ms=10000) as client:
    client.wait_until_ready(30)
    arms = Counter(
        client.search("the river opens", routing_key=str(caller)).arm for caller in range({CALLERS})
    )
import json
print(json.dumps(arms))
"""


def manifest(**flags: object) -> list[dict[str, Any]]:
    values: FlagValues = flags
    return objects_of(carry_flags(CANARY.read_text(encoding="utf-8"), values))


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodProcesses]:
    folder = tmp_path_factory.mktemp("pods")
    releases = build_releases(folder) / "artifacts" / "releases"
    before = [one for one in objects_of(baseline_manifest()) if "retriever" not in name_of(one)]
    objects = [*before, *manifest()]
    with pod_processes(objects, folder, releases) as made:
        write_config_map(made.flags_folder, mounted_flags(manifest()), 0)
        for workload in of_kind(objects, *WORKLOADS):
            made.start(workload)
        yield made


def health(pods: PodProcesses) -> dict[str, Any]:
    script = "curl --silent --max-time 5 http://retriever-service:8080/health || echo '{}'"
    found: dict[str, Any] = json.loads(pods.run("sh", "-c", script))
    return found


def health_once(pods: PodProcesses, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    ends = time.monotonic() + 90
    while time.monotonic() < ends:
        found = health(pods)
        if wanted(found):
            return found
        time.sleep(0.2)
    raise AssertionError(f"{health(pods)}{pods.last_lines()}")


def shares(pods: PodProcesses) -> dict[str, int]:
    counted: dict[str, int] = json.loads(pods.run(sys.executable, "-c", ASK))
    return counted


def test_both_arms_answer_their_share_and_a_changed_map_moves_it(pods: PodProcesses) -> None:
    found = health_once(pods, lambda found: found.get("status") == "ok")
    assert found["arms"]["baseline"]["release"] == "v-1"
    assert found["arms"]["canary"]["release"] == "retriever_v0"
    assert found["arms"]["canary"]["percent"] == 5
    counted = shares(pods)
    assert 0 < counted["canary"] < 0.10 * CALLERS
    assert sum(counted.values()) == CALLERS
    write_config_map(pods.flags_folder, mounted_flags(manifest(CANARY_PERCENT=50)), 1)
    health_once(pods, lambda found: found["arms"]["canary"]["percent"] == 50)
    assert 0.40 * CALLERS < shares(pods)["canary"] < 0.60 * CALLERS


def test_metrics_are_where_the_annotations_say(pods: PodProcesses) -> None:
    for name, address in pods.addresses.items():
        text = pods.run("curl", "--silent", "--fail", f"http://{address}:9100/metrics")
        assert "service_serving 1.0" in text, name


def test_every_pod_ends_as_asked(pods: PodProcesses) -> None:
    assert set(pods.stop().values()) == {0}
