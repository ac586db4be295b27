"""The rules fire when they should and only then, and name what exists."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.alert_cases import CASES, Case
from tests.support.required_tools import require_tool

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES_FILE = PROMETHEUS / "rules.yml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}


def expected(case: Case) -> list[dict[str, Any]]:
    """Alerts as promtool wants them: labels and annotations whole."""
    rule = ALERTS[case.alert]
    return [
        {
            "exp_labels": {**labels, **rule["labels"]},
            "exp_annotations": {**rule["annotations"], "summary": summary},
        }
        for labels, summary in case.firing
    ]


def promtool_test(case: Case) -> dict[str, Any]:
    """One test of promtool's file format."""
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    at = {"eval_time": f"{case.minute}m", "alertname": case.alert, "exp_alerts": expected(case)}
    return {"interval": "15s", "input_series": series, "alert_rule_test": [at]}


def run_promtool(cases: tuple[Case, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    promtool = require_tool("promtool")
    tests = {
        "rule_files": [str(RULES_FILE)],
        "evaluation_interval": "15s",
        "tests": [promtool_test(case) for case in cases],
    }
    file = folder / "cases.json"
    file.write_text(json.dumps(tests), encoding="utf-8")
    command = [str(promtool), "test", "rules", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_fires_and_stays_silent_as_it_should(alert: str, tmp_path: Path) -> None:
    cases = tuple(case for case in CASES if case.alert == alert)
    assert any(case.firing for case in cases), f"nothing fires {alert}"
    assert any(not case.firing for case in cases), f"nothing must leave {alert} silent"
    done = run_promtool(cases, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_expectation_is_noticed(tmp_path: Path) -> None:
    silent = Case("RetrievalErrorRate", "nothing wrong", {}, 16, (({"arm": "canary"}, "fails"),))
    done = run_promtool((silent,), tmp_path)
    assert done.returncode == 1
    assert "FAILED" in done.stdout + done.stderr


def test_promtool_and_amtool_accept_the_files() -> None:
    promtool, amtool = str(require_tool("promtool")), str(require_tool("amtool"))
    for command in (
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", str(RULES_FILE)],
        [promtool, "check", "config", str(PROMETHEUS / "prometheus.yml")],
        [promtool, "check", "config", str(PROMETHEUS / "prometheus-kubernetes.yml")],
        [amtool, "check-config", str(PROMETHEUS / "alertmanager.yml")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_every_severity_has_a_way_to_people(alert: str) -> None:
    routes = yaml.safe_load((PROMETHEUS / "alertmanager.yml").read_text("utf-8"))["route"]["routes"]
    ways = {matcher for route in routes for matcher in route["matchers"]}
    assert f'severity = "{ALERTS[alert]["labels"]["severity"]}"' in ways


@pytest.mark.parametrize("alert", ALERTS)
def test_every_runbook_link_leads_to_a_section(alert: str) -> None:
    page, _, anchor = ALERTS[alert]["annotations"]["runbook_url"].partition("#")
    text = (ROOT / page).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ +(.+)$", text, flags=re.MULTILINE)
    assert anchor in {anchor_of(heading) for heading in headings}


def anchor_of(heading: str) -> str:
    """As the pages that show Markdown make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("alert", ALERTS)
def test_the_page_says_what_the_rule_says(alert: str) -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(f"| `{alert}` |")]
    assert len(rows) == 1
    cells = [cell.strip() for cell in rows[0].strip("|").split(" | ")]
    assert cells[1] == ALERTS[alert]["labels"]["severity"]
    assert cells[3].removesuffix("|").strip() == ALERTS[alert].get("for", "0")


def test_the_page_names_no_alert_that_is_not_there() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == set(ALERTS)
