"""docs/encoder.md says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from encoder_svc.metric_names import METRICS
from encoder_svc.settings import EncoderSettings
from exporter.fidelity import FP32_BOUNDS, INT8_BOUNDS
from servicekit.metric_names import MetricSpec
from servicekit.settings import ServiceSettings, SettingRow, settings_rows

PAGE = (Path(__file__).parents[3] / "docs" / "encoder.md").read_text(encoding="utf-8")
COMMON = set(ServiceSettings.model_fields) - {"port", "in_flight_limit"}
OWN_ROWS = [
    row
    for row in settings_rows(EncoderSettings)
    if row.name.removeprefix("ENCODER_").lower() not in COMMON
]


@pytest.mark.parametrize("row", OWN_ROWS, ids=lambda row: row.name)
def test_a_setting_is_documented_as_declared(row: SettingRow) -> None:
    assert f"| `{row.name}` | {row.unit} | {row.default} | {row.meaning} |" in PAGE


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_a_metric_is_documented_as_declared(spec: MetricSpec) -> None:
    assert f"| `{spec.name}` | {spec.kind} | {spec.unit} | {spec.description} |" in PAGE


@pytest.mark.parametrize(
    ("label", "bound"),
    [
        ("mean cosine", "mean_cosine"),
        ("worst cosine", "worst_cosine"),
        ("top-10 overlap", "overlap"),
        ("a text alone against itself in a batch", "invariance"),
    ],
)
def test_the_bounds_of_an_export_are_those_of_the_code(label: str, bound: str) -> None:
    figures = [f"{getattr(bounds, bound):g}" for bounds in (INT8_BOUNDS, FP32_BOUNDS)]
    assert f"| {label} | {figures[0]} | {figures[1]} |" in PAGE
