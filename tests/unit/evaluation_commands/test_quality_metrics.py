"""The file for Prometheus: all metrics documented, each set's newest evaluation, its drops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from evaluation.intervals import Interval
from evaluation.metrics_files import Metrics, SetMetrics
from evaluation.quality_metrics import METRICS, quality_text, write_quality
from retrieval_core.errors import InvalidInput

PAGE = Path(__file__).parents[3] / "docs" / "evaluation.md"


def _report(
    day: int, r_at_5: float, *, name: str = "windows", mode: str = "in_process", passed: bool = True
) -> Metrics:
    def stage(value: float) -> dict[str, Interval]:
        names = ("R@1", "R@5", "MRR", "Contain@50")
        return {measure: Interval(value, value, value) for measure in names}

    stages = {"flat": stage(0.9), "search": stage(r_at_5 - 0.1), "rerank": stage(r_at_5)}
    found = SetMetrics(name, "next_passage", 40, stages, is_passed=passed)
    created = f"2026-11-{day:02d}T03:00:00Z"
    return Metrics(created, f"release {day}", mode, "PASS", {name: found})


def _samples(reports: list[Metrics], baseline: Metrics | None = None) -> dict[str, float]:
    """Values by name and labels, as Prometheus itself would read them."""
    families = text_string_to_metric_families(quality_text(reports, baseline))
    return {
        f"{sample.name} {' '.join(sample.labels.values())}": sample.value
        for family in families
        for sample in family.samples
    }


def test_the_newest_evaluation_is_told_stage_by_stage() -> None:
    samples = _samples([_report(9, 0.40), _report(8, 0.50)])
    assert samples["retrieval_quality_ratio windows R@5 search"] == pytest.approx(0.30)
    assert samples["retrieval_quality_ratio windows R@5 rerank"] == pytest.approx(0.40)
    assert samples["retrieval_quality_ratio windows R@5 served"] == pytest.approx(0.40)
    assert not any(" flat" in name for name in samples)
    assert samples["retrieval_quality_queries windows"] == 40
    assert samples["retrieval_quality_evaluated_timestamp_seconds windows"] == 1794193200
    assert samples["retrieval_quality_passed windows"] == 1
    assert samples["retrieval_quality_release_info windows release 9 in_process"] == 1


def test_drops_are_against_all_that_is_known() -> None:
    days = {1: 0.9, 5: 0.60, 6: 0.50, 7: 0.58, 8: 0.40}
    baseline = _report(1, 0.45)
    samples = _samples([_report(day, value) for day, value in days.items()], baseline)
    drops = {
        against: samples[f"retrieval_quality_drop_points windows R@5 {against}"]
        for against in ("baseline", "previous", "median_7d")
    }
    # The first day lies seven days back, and counts.
    assert drops == pytest.approx({"baseline": 5.0, "previous": 18.0, "median_7d": 19.0})


def test_a_first_evaluation_has_no_drops() -> None:
    samples = _samples([_report(8, 0.5)])
    assert not any(name.startswith("retrieval_quality_drop_points") for name in samples)


def test_other_ways_of_asking_are_not_compared() -> None:
    samples = _samples([_report(7, 0.9), _report(8, 0.5, mode="services")])
    assert not any(name.startswith("retrieval_quality_drop_points") for name in samples)
    assert samples["retrieval_quality_release_info windows release 8 services"] == 1


def test_an_evaluation_over_a_rebuilt_truth_is_not_what_is_served() -> None:
    weekly = replace(_report(9, 0.9), index="p_flat_ip_20261109.faiss")
    samples = _samples([_report(7, 0.6), _report(8, 0.5), weekly])
    assert samples["retrieval_quality_ratio windows R@5 served"] == pytest.approx(0.5)
    drop = samples["retrieval_quality_drop_points windows R@5 previous"]
    assert drop == pytest.approx(10.0)
    assert _samples([weekly])["retrieval_quality_ratio windows R@5 served"] == 0.9


def test_every_set_has_its_own_newest_and_odd_names_survive() -> None:
    samples = _samples([_report(7, 0.9, name='a "b" \\c'), _report(8, 0.5, passed=False)])
    assert samples['retrieval_quality_ratio a "b" \\c R@5 served'] == pytest.approx(0.9)
    assert samples["retrieval_quality_passed windows"] == 0


def test_every_metric_is_written_documented_and_no_other() -> None:
    text = quality_text([_report(7, 0.9), _report(8, 0.5)], None)
    families = list(text_string_to_metric_families(text))
    assert [family.name for family in families] == list(METRICS)
    page = PAGE.read_text("utf-8")
    for family in families:
        (labels,) = {tuple(sample.labels) for sample in family.samples}
        assert labels == METRICS[family.name].labels
        assert f"`{family.name}`" in page
        assert all(f"`{label}`" in page for label in labels)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="--prom"):
        write_quality([_report(8, 0.5)], None, tmp_path / "file" / "quality.prom")
