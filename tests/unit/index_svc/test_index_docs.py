"""docs/index.md says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from index_svc.metric_names import METRICS
from index_svc.settings import IndexSettings
from servicekit.metric_names import MetricSpec
from servicekit.program import help_text
from servicekit.settings import SettingRow, settings_rows

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "index.md").read_text(encoding="utf-8")


def cells(name: str) -> list[str]:
    """The cells of the table row that begins with this name."""
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1, f"{name} has {len(rows)} rows"
    return [cell.strip() for cell in rows[0].strip("|").split("|")]


@pytest.mark.parametrize("row", settings_rows(IndexSettings), ids=lambda row: row.name)
def test_every_setting_is_documented_as_it_is(row: SettingRow) -> None:
    assert cells(row.name) == [f"`{row.name}`", row.unit, row.default, row.meaning]


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_every_metric_is_documented_as_it_is(spec: MetricSpec) -> None:
    assert cells(spec.name) == [f"`{spec.name}`", spec.kind, spec.unit, spec.description]


def test_no_setting_is_documented_that_is_not_there() -> None:
    documented = {line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `INDEX_")}
    assert documented == {row.name for row in settings_rows(IndexSettings)}


def test_help_names_every_setting() -> None:
    text = help_text("index", "serves", IndexSettings)
    assert all(row.name in text for row in settings_rows(IndexSettings))
