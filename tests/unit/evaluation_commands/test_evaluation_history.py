"""The history is read however it was joined, and shows means, medians and alerts."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation import charts
from evaluation.gates import combine
from evaluation.history import Severity, alerts_of, append_report, newest_of, read_trend
from evaluation.intervals import DEFAULT_BOOTSTRAP, Interval, Verdict
from evaluation.json_values import plain, to_line
from evaluation.metrics_files import read_metrics, read_reports
from evaluation.reports import FORMAT, Report, SetReport, Subject
from retrieval_core.errors import InvalidInput


def _report(day: int, r_at_5: float, contain: float = 0.9, mode: str = "in_process") -> Report:
    values = {"R@5": r_at_5, "MRR": r_at_5 / 2, "Contain@50": contain}
    stage = {name: Interval(value, value - 0.01, value + 0.01) for name, value in values.items()}
    found = SetReport(
        name="windows",
        task="next_passage",
        query_count=10,
        article_count=2,
        query_model="mean",
        excluded="",
        stages={"flat": stage, "search": stage},
        differences={},
        agreement=Interval(1.0, 1.0, 1.0),
        rank1_change_ratio=None,
        incomplete_count=0,
        degraded_count=0,
        lanes={},
        article_reference={},
        gates=[],
    )
    subject = Subject(f"2026-11-{day:02d}T03:00:00Z", "r", "e", "c", mode, 8, "as served", "t", {})
    return Report(FORMAT, subject, DEFAULT_BOOTSTRAP, [found], [], combine([Verdict.PASS]))


def _history(path: Path, values: dict[int, float]) -> Path:
    for day, value in values.items():
        append_report(_report(day, value), path)
    return path


def test_a_report_is_one_line_that_reads_back(tmp_path: Path) -> None:
    line = to_line(_report(1, 0.4))
    assert line.count("\n") == 1
    path = tmp_path / "r.json"
    path.write_text(line)
    found = read_metrics(path)
    assert found.query_sets["windows"].final["R@5"] == Interval(0.4, 0.39, 0.41)
    assert found.verdict == "PASS"


def test_joined_files_are_a_history_however_they_are_laid_out(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    spread = json.dumps(plain(_report(1, 0.4)), indent=2)
    path.write_text(spread + to_line(_report(2, 0.5)) + "\n\n" + spread)
    assert len(read_reports(path)) == 3
    append_report(_report(3, 0.6), path)
    assert path.read_text().endswith(to_line(_report(3, 0.6)))
    assert len(read_reports(path)) == 4


@pytest.mark.parametrize("content", ["{", "[1]", '{"format": "other"}', "word"])
def test_other_content_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(to_line(_report(1, 0.4)) + content)
    with pytest.raises(InvalidInput, match=r"history\.jsonl"):
        read_reports(path)


def test_means_and_medians_are_of_seven_days(tmp_path: Path) -> None:
    path = _history(tmp_path / "h.jsonl", {1: 0.9, 8: 0.1, 9: 0.2, 10: 0.6})
    points = read_trend(path)["windows"]
    assert [point.created[8:10] for point in points] == ["01", "08", "09", "10"]
    # The first is exactly seven days before the second, and out of its window.
    assert points[1].average["R@5"] == pytest.approx(0.1)
    assert points[3].average["R@5"] == pytest.approx(0.3)
    assert points[3].middle["R@5"] == pytest.approx(0.2)


def test_the_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    shuffled = read_trend(_history(tmp_path / "a.jsonl", {9: 0.2, 8: 0.1, 10: 0.6}))
    ordered = read_trend(_history(tmp_path / "b.jsonl", {8: 0.1, 9: 0.2, 10: 0.6}))
    assert shuffled == ordered


def test_only_evaluations_asked_the_same_way_are_compared(tmp_path: Path) -> None:
    path = _history(tmp_path / "h.jsonl", {8: 0.4})
    append_report(_report(9, 0.1, mode="services"), path)
    assert len(read_trend(path, "in_process")["windows"]) == 1
    assert len(read_trend(path)["windows"]) == 2
    rebuilt = _report(10, 0.9)
    append_report(replace(rebuilt, subject=replace(rebuilt.subject, index="other.faiss")), path)
    assert len(read_trend(path, "in_process")["windows"]) == 1
    assert newest_of(read_reports(path)).way == "in_process, another index"


def test_a_slow_slide_is_seen_against_the_baseline(tmp_path: Path) -> None:
    slide = {day: 0.5 - 0.02 * day for day in range(1, 8)}
    path = _history(tmp_path / "h.jsonl", slide)
    baseline = tmp_path / "baseline.json"
    baseline.write_text(to_line(_report(1, 0.5)))
    alerts = alerts_of(read_trend(path), read_metrics(baseline))
    assert Severity.CRITICAL in {alert.severity for alert in alerts}
    assert Severity.CRITICAL not in {alert.severity for alert in alerts_of(read_trend(path))}


@pytest.mark.parametrize(
    ("newest", "severities"),
    [
        (0.40, []),
        (0.371, []),
        (0.36, [Severity.WARNING]),
        (0.34, [Severity.WARNING, Severity.WARNING]),
        (0.29, [Severity.CRITICAL, Severity.WARNING]),
    ],
)
def test_drops_raise_alerts(tmp_path: Path, newest: float, severities: list[Severity]) -> None:
    path = _history(tmp_path / "h.jsonl", {6: 0.4, 7: 0.4, 8: 0.4, 9: newest})
    assert [alert.severity for alert in alerts_of(read_trend(path))] == severities


def test_little_containment_raises_an_alert(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    append_report(_report(1, 0.4, contain=0.79), path)
    (alert,) = alerts_of(read_trend(path))
    assert "0.790" in alert.text


def test_runs_that_append_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    threads = [
        threading.Thread(target=append_report, args=(_report(day, 0.4), path))
        for day in range(1, 17)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_reports(path)) == 16
    assert len(path.read_text().splitlines()) == 16


def test_a_trend_is_drawn_as_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = _history(tmp_path / "h.jsonl", {8: 0.1, 9: 0.2, 10: 0.6})
    charts.draw_trend(read_trend(path), tmp_path / "new" / "trend.png")
    assert (tmp_path / "new" / "trend.png").read_bytes().startswith(b"\x89PNG")
