"""Quality as metrics that Prometheus reads: the newest evaluation of every set, and its drops.

What is served counts: an evaluation over a rebuilt truth only where there is no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from evaluation.history import drops_of, newest_of, parse_time, trend_of
from evaluation.intervals import Interval
from evaluation.metrics_files import Metrics, SetMetrics
from evaluation.reports import AS_SERVED
from releases.durable import write_bytes_durably
from retrieval_core.errors import InvalidInput

MEASURES = ("R@1", "R@5", "R@10", "MRR", "MRR@10", "nDCG@10", "Contain@20", "Contain@50")
SERVED = "served"
"""The stage that callers get: after rerank, or the search where nothing reranks."""

_STAGES = ("search", "rerank")


@dataclass(frozen=True, slots=True)
class QualityMetric:
    """A gauge: its labels, and what it says."""

    labels: tuple[str, ...]
    meaning: str


METRICS: Mapping[str, QualityMetric] = MappingProxyType(
    {
        "retrieval_quality_ratio": QualityMetric(
            ("set", "measure", "stage"),
            "Mean of a measure, 0 to 1, in the newest evaluation of a query set.",
        ),
        "retrieval_quality_drop_points": QualityMetric(
            ("set", "measure", "against"),
            "Percentage points that a served measure fell against baseline, previous or median_7d.",
        ),
        "retrieval_quality_queries": QualityMetric(("set",), "Queries of the newest evaluation."),
        "retrieval_quality_evaluated_timestamp_seconds": QualityMetric(
            ("set",), "When the newest evaluation began, in seconds since 1970."
        ),
        "retrieval_quality_passed": QualityMetric(
            ("set",), "1 where every gate of the set passed, 0 where one failed or is open."
        ),
        "retrieval_quality_release_info": QualityMetric(
            ("set", "release", "mode"), "1; which release was evaluated, and how it was asked."
        ),
    }
)
"""Every metric of the file, in its order."""

Sample = tuple[str, Mapping[str, str], float]


def write_quality(reports: Sequence[Metrics], baseline: Metrics | None, path: Path) -> None:
    """Write the file in one step; InvalidInput where that is impossible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_durably(path, quality_text(reports, baseline).encode())
    except OSError as error:
        raise InvalidInput("--prom", f"{path}: cannot be written ({error.strerror})") from error


def quality_text(reports: Sequence[Metrics], baseline: Metrics | None) -> str:
    """The metrics of a history in the text format of Prometheus."""
    samples = [
        sample for name in _set_names(reports) for sample in _of_set(name, reports, baseline)
    ]
    lines: list[str] = []
    for name, metric in METRICS.items():
        lines += [f"# HELP {name} {metric.meaning}", f"# TYPE {name} gauge"]
        lines += [_line(sample) for sample in samples if sample[0] == name]
    return "\n".join(lines) + "\n"


def _set_names(reports: Sequence[Metrics]) -> list[str]:
    return sorted({name for report in reports for name in report.query_sets})


def _of_set(name: str, reports: Sequence[Metrics], baseline: Metrics | None) -> Iterator[Sample]:
    holding = [report for report in reports if name in report.query_sets]
    served = [report for report in holding if report.index == AS_SERVED]
    newest = newest_of(served or holding)
    found = newest.query_sets[name]
    yield from _ratios(found)
    points = trend_of(holding, newest.way)[name]
    known = None if baseline is None else baseline.query_sets.get(name)
    for drop in drops_of(points, known):
        labels = {"set": name, "measure": drop.measure, "against": drop.against.value}
        yield "retrieval_quality_drop_points", labels, drop.points
    own = {"set": name}
    when = parse_time(newest.created).timestamp()
    yield "retrieval_quality_queries", own, float(found.query_count)
    yield "retrieval_quality_evaluated_timestamp_seconds", own, when
    yield "retrieval_quality_passed", own, float(found.is_passed)
    told = {**own, "release": newest.release_id, "mode": newest.mode}
    yield "retrieval_quality_release_info", told, 1.0


def _ratios(found: SetMetrics) -> Iterator[Sample]:
    stages: dict[str, Mapping[str, Interval]] = {
        stage: found.stages[stage] for stage in _STAGES if stage in found.stages
    }
    for stage, measures in {**stages, SERVED: found.final}.items():
        for measure in MEASURES:
            if measure in measures:
                labels = {"set": found.name, "measure": measure, "stage": stage}
                yield "retrieval_quality_ratio", labels, measures[measure].mean


def _line(sample: Sample) -> str:
    name, labels, value = sample
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
