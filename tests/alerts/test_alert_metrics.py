"""Every metric that rules and pages of alerts name is one that the code exposes."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import yaml

from encoder_svc.metric_names import METRICS as ENCODER_METRICS
from evaluation.quality_metrics import MEASURES, SERVED
from evaluation.quality_metrics import METRICS as QUALITY_METRICS
from gateway.arm_observing import ERROR, INVALID, OK, REFUSED
from gateway.metrics import METRICS as GATEWAY_METRICS
from index_svc.metric_names import METRICS as INDEX_METRICS
from servicekit.metric_names import COMMON_METRICS, MetricSpec
from tests.alerts.test_alert_rules import PROMETHEUS, RULES

CONFIG = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
OF_PROMETHEUS = {"up", "ALERTS"}
OF_THE_CLIENT = {"process_resident_memory_bytes"}
FUNCTIONS = {
    *("absent", "by", "for", "histogram_quantile", "increase", "max", "min", "on", "or", "rate"),
    *("sum", "time", "unless"),
}


def spec_names(specs: Iterable[MetricSpec]) -> dict[str, set[str]]:
    """Sample names of the specs, each with its labels."""
    samples: dict[str, set[str]] = {}
    for spec in specs:
        labels = set(spec.labels)
        samples[spec.name] = labels
        if spec.kind == "histogram":
            samples[f"{spec.name}_bucket"] = labels | {"le"}
            samples[f"{spec.name}_count"] = samples[f"{spec.name}_sum"] = labels
    return samples


EXPOSED = {
    **spec_names((*COMMON_METRICS, *GATEWAY_METRICS, *INDEX_METRICS, *ENCODER_METRICS)),
    **{name: set(metric.labels) for name, metric in QUALITY_METRICS.items()},
}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
EXPRESSIONS = {rule.get("alert", rule.get("record")): rule["expr"] for rule in RULES}


def metrics_in(expression: str) -> set[str]:
    """Names of series in an expression, without functions, labels and what is in braces."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on) *\([^)]*\)", " ", expression)
    names = set(re.findall(r"[a-zA-Z_][\w:]*", bare))
    return names - FUNCTIONS


@pytest.mark.parametrize("rule", EXPRESSIONS)
def test_every_series_of_a_rule_exists(rule: str) -> None:
    known = set(EXPOSED) | RECORDED | OF_PROMETHEUS | OF_THE_CLIENT
    named = metrics_in(EXPRESSIONS[rule])
    assert named, f"no series found in {rule}"
    assert named - known == set()


@pytest.mark.parametrize("rule", EXPRESSIONS)
def test_every_label_of_a_selector_exists(rule: str) -> None:
    for metric, selector in re.findall(r"([a-zA-Z_][\w:]*)\{([^}]*)\}", EXPRESSIONS[rule]):
        if metric in EXPOSED:
            labels = set(re.findall(r"(\w+) *(?:=|!)", selector))
            assert labels <= EXPOSED[metric], f"{metric} has no such label"


LABEL_VALUES = {
    "outcome": {OK, ERROR, REFUSED, INVALID},
    "measure": set(MEASURES),
    "stage": {SERVED},
    "against": {"baseline", "previous", "median_7d"},
    "job": {job["job_name"] for job in CONFIG["scrape_configs"]},
}


@pytest.mark.parametrize("rule", EXPRESSIONS)
def test_every_value_of_a_label_is_one_that_the_code_gives(rule: str) -> None:
    for label, text in re.findall(r'(\w+) *=~? *"([^"]*)"', EXPRESSIONS[rule]):
        assert set(text.split("|")) <= LABEL_VALUES.get(label, set(text.split("|"))), label


@pytest.mark.parametrize("against", sorted(LABEL_VALUES["against"]))
def test_what_a_fall_is_measured_against_is_documented_by_the_metric(against: str) -> None:
    assert against in QUALITY_METRICS["retrieval_quality_drop_points"].meaning
