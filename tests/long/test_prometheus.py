"""A real Prometheus scrapes a real stack: every series that a rule names is there, no rule errs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.alerts.test_alert_metrics import EXPRESSIONS, RECORDED, metrics_in
from tests.support.kubernetes_objects import ROOT
from tests.support.operator_shell import OperatorShell, operator_shell
from tests.support.required_tools import require_tool

pytestmark = pytest.mark.timeout(600)

API = "http://127.0.0.1:9090/api/v1"
QUERIES = """
from retrieval_client import RetrievalClient
with RetrievalClient("127.0.0.1:50050", timeout_ms=10000) as client:
    for number in range(150):
        client.search(f"the river opens {number}")
"""
# What a Prometheus of its own has, and what there is only in a time of trouble.
NOT_SCRAPED = {"ALERTS"}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorShell]:
    require_tool("prometheus")
    with operator_shell(tmp_path_factory.mktemp("operator")) as made:
        for prefix in ("GATEWAY", "ENCODER", "INDEX", "RERANK"):
            made.exported[f"{prefix}_MEMORY_BASELINE_S"] = "1"
        made.ran("python -m deploy.local up --release retriever_v0")
        # Twice, so that there is a run to compare with; a verdict of made-up words is any.
        for _ in range(2):
            made.run("python tools/nightly_eval.py")
        yield made


@contextmanager
def prometheus(shell: OperatorShell) -> Iterator[None]:
    """It and the exporter of the evaluation, with the project's files but at a quicker pace."""
    folder = shell.root / "prometheus"
    shutil.copytree(ROOT / "deploy" / "prometheus", folder)
    for name in ("prometheus.yml", "rules.yml"):
        text = (folder / name).read_text(encoding="utf-8")
        for slow in ("15s", "1m"):
            text = text.replace(f"interval: {slow}", "interval: 1s")
        (folder / name).write_text(text, encoding="utf-8")
    config = f"--config.file={folder}/prometheus.yml"
    with ExitStack() as stack:
        for command in (
            [sys.executable, "tools/quality_exporter.py"],
            ["prometheus", config, f"--storage.tsdb.path={folder}/data"],
        ):
            process = subprocess.Popen(
                [*shell.network, *command],
                cwd=shell.root,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, timeout=60)
            stack.callback(process.terminate)
        yield


def ask(shell: OperatorShell, path: str) -> Any:
    done = shell.run(f"curl --silent --max-time 5 {API}/{path}")
    return json.loads(done.stdout)["data"] if done.stdout else None


def asked_until(shell: OperatorShell, path: str, wanted: Callable[[Any], bool]) -> Any:
    ends = time.monotonic() + 90
    while time.monotonic() < ends:
        found = ask(shell, path)
        if found is not None and wanted(found):
            return found
        time.sleep(0.5)
    raise AssertionError(f"{path}: {ask(shell, path)}")


def test_every_series_of_the_rules_is_scraped_and_no_rule_errs(shell: OperatorShell) -> None:
    with prometheus(shell):
        found = asked_until(shell, "targets", lambda data: all_up(data["activeTargets"]))
        assert len(found["activeTargets"]) == 6
        # Counters are there before the load, so that the rates over it are no accident of time.
        asked_until(shell, "query?query=gateway_arm_requests_total", lambda data: data["result"])
        shell.ran(f"{sys.executable} -c '{QUERIES}'")
        needed = {name for expression in EXPRESSIONS.values() for name in metrics_in(expression)}
        needed -= NOT_SCRAPED
        names = "label/__name__/values"
        asked_until(shell, names, lambda names: needed | RECORDED <= set(names))
        groups = ask(shell, "rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["name"]: rule["lastError"] for rule in rules if rule.get("lastError")} == {}
        assert len(rules) == len(EXPRESSIONS)
        p95 = ask(shell, "query?query=retrieval:p95_seconds:5m")["result"]
        assert [one["metric"]["arm"] for one in p95] == ["baseline"]
        assert 0 < float(p95[0]["value"][1]) <= 0.25


def all_up(targets: list[dict[str, Any]]) -> bool:
    return bool(targets) and all(target["health"] == "up" for target in targets)
