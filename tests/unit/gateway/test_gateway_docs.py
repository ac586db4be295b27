"""docs/gateway.md, docs/protocol.md and docs/metrics.md say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.metrics import METRICS
from gateway.query import QueryLimits
from gateway.servicer import TIMINGS_KEY
from gateway.settings import GatewaySettings
from servicekit.metric_names import MetricSpec
from servicekit.settings import ServiceSettings, SettingRow, settings_rows

DOCS = Path(__file__).resolve().parents[3] / "docs"
SOURCES = Path(__file__).resolve().parents[3] / "gateway"
COMMON = {row.name for row in settings_rows(ServiceSettings)} - {"PORT"}
OWN = [
    row for row in settings_rows(GatewaySettings) if row.name.removeprefix("GATEWAY_") not in COMMON
]


def cells(page: str, name: str) -> list[str]:
    """The cells of the one table row that begins with this name."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1, f"{name} has {len(rows)} rows in {page}"
    return [cell.strip() for cell in rows[0].strip("|").split(" | ")]


@pytest.mark.parametrize("row", OWN, ids=lambda row: row.name)
def test_every_setting_is_documented_as_it_is(row: SettingRow) -> None:
    default = f"`{row.default}`" if row.default else ""
    documented = [cell for cell in cells("gateway.md", row.name) if cell]
    expected = [f"`{row.name}`", row.unit, default, row.meaning]
    assert documented == [cell for cell in expected if cell]


def test_no_setting_is_documented_that_is_not_there() -> None:
    page = (DOCS / "gateway.md").read_text(encoding="utf-8")
    named = set(re.findall(r"GATEWAY_[A-Z_]+", page))
    assert named <= {row.name for row in settings_rows(GatewaySettings)}


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_every_metric_is_documented_as_it_is(spec: MetricSpec) -> None:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    documented = [cell for cell in cells("metrics.md", spec.name) if cell]
    expected = [f"`{spec.name}`", spec.kind, spec.unit, labels, spec.description]
    assert documented == [cell for cell in expected if cell]


@pytest.mark.parametrize("module", ["reranking.py", "settling.py", "query.py", "converters.py"])
def test_every_reason_is_documented(module: str) -> None:
    source = (SOURCES / module).read_text(encoding="utf-8")
    reasons = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', source))
    pages = "".join((DOCS / page).read_text("utf-8") for page in ("gateway.md", "protocol.md"))
    assert reasons
    assert {reason for reason in reasons if f"`{reason}`" not in pages} == set()


def test_the_bounds_of_a_request_are_documented() -> None:
    limits = QueryLimits()
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    assert f"at most {limits.max_text_characters:,} characters" in page
    assert f"0 means {limits.default_limit}; at most {limits.max_limit:,}" in page
    assert f"at most {limits.max_nprobe:,}" in page
    assert f"1 to {limits.max_context_items} items" in page
    assert TIMINGS_KEY in page
