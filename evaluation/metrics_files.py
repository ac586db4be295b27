"""Reports of evaluations read back from disk, as far as comparisons and histories need them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.intervals import Interval, Verdict
from evaluation.reports import AS_SERVED, FORMAT
from retrieval_core.errors import InvalidInput

_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class SetMetrics:
    """One query set of a report: its intervals by stage and measure, 0 to 1.

    `is_passed`: whether every gate of the set passed.
    """

    name: str
    task: str
    query_count: int
    stages: Mapping[str, Mapping[str, Interval]]
    is_passed: bool = False

    @property
    def final(self) -> Mapping[str, Interval]:
        """After rerank, or of the search where there was no reranker."""
        return self.stages.get("rerank", self.stages["search"])


@dataclass(frozen=True, slots=True)
class Metrics:
    """One report: when, of what, and its sets; `hits` maps a stage to file name and sha256.

    `index` is the file that took the place of the served index, or AS_SERVED.
    """

    created: str
    release_id: str
    mode: str
    verdict: str
    query_sets: Mapping[str, SetMetrics]
    hits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    index: str = AS_SERVED

    @property
    def way(self) -> str:
        """How it was asked: figures of other ways are no trend. All rebuilt truths are one."""
        return self.mode if self.index == AS_SERVED else f"{self.mode}, another index"


def read_metrics(path: Path) -> Metrics:
    """The one report of a file. InvalidInput for anything else."""
    found = read_reports(path)
    if len(found) != 1:
        raise InvalidInput("metrics", f"{path}: holds {len(found)} reports, expected one")
    return found[0]


def read_reports(path: Path) -> list[Metrics]:
    """All reports of a file, whether one a line or spread over lines; InvalidInput for others."""
    try:
        content = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("metrics", f"{path}: cannot be read ({error})") from error
    try:
        return [_parse(value) for value in _values(content)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput("metrics", f"{path}: is not an evaluation ({error!r})") from error


def _values(content: str) -> Iterator[dict[str, Any]]:
    """Objects one after another: what `cat` makes of several files, however they are laid out."""
    decoder = json.JSONDecoder()
    place = _after_space(content, 0)
    while place < len(content):
        value, place = decoder.raw_decode(content, place)
        yield value
        place = _after_space(content, place)


def _after_space(content: str, place: int) -> int:
    found = _SPACE.match(content, place)
    return found.end() if found else place


def _parse(value: Mapping[str, Any]) -> Metrics:
    if "format" not in value:
        raise ValueError("lacks `format`; tools/run_clean_eval.py --out writes one")
    if value["format"] != FORMAT:
        raise ValueError(f"format is {value['format']!r}, expected {FORMAT!r}")
    subject = value["subject"]
    return Metrics(
        created=str(subject["created"]),
        release_id=str(subject["release_id"]),
        mode=str(subject["mode"]),
        verdict=str(value["verdict"]),
        query_sets={each["name"]: _parse_set(each) for each in value["query_sets"]},
        hits={
            stage: (str(file["file"]), str(file["sha256"]))
            for stage, file in subject.get("hits", {}).items()
        },
        index=str(subject.get("index", AS_SERVED)),
    )


def _parse_set(value: Mapping[str, Any]) -> SetMetrics:
    return SetMetrics(
        name=str(value["name"]),
        task=str(value["task"]),
        query_count=int(value["query_count"]),
        stages={
            stage: {
                name: Interval(float(each["mean"]), float(each["low"]), float(each["high"]))
                for name, each in measures.items()
            }
            for stage, measures in value["stages"].items()
        },
        is_passed=_all_pass([str(gate["verdict"]) for gate in value.get("gates", ())]),
    )


def _all_pass(verdicts: Sequence[str]) -> bool:
    return bool(verdicts) and set(verdicts) == {Verdict.PASS.value}
