"""What differs between two releases: their making, their files, and their measured quality."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from releases.bundle import Release
from releases.layout import METRICS_NAME, VERSION_NAME
from releases.operating_point import measured_nprobe
from retrieval_core.errors import DamagedArtifact

_NOT_COMPARED = ("release_id", "created", "files", "gates")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing by name, as it is in the one release and in the other; None where it is not."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ReleaseDifference:
    """`facts` of the manifests and the nprobe in force, `files` by digest, `gates` and `metrics`.

    A file's value is its (sha256, bytes). Whatever is equal is left out, metrics apart: they are
    there as soon as one release has them.
    """

    before: str
    after: str
    facts: tuple[Change, ...]
    files: tuple[Change, ...]
    gates: tuple[Change, ...]
    metrics: tuple[Change, ...]


def compare_releases(before: Release, after: Release) -> ReleaseDifference:
    """Compare manifests, file records and metrics; the files themselves are not read."""
    return ReleaseDifference(
        before=before.release_id,
        after=after.release_id,
        facts=_changes(_facts(before), _facts(after)),
        files=_changes(_files(before), _files(after)),
        gates=_changes(_gates(before), _gates(after)),
        metrics=_changes(release_metrics(before), release_metrics(after), keep_equal=True),
    )


def release_metrics(release: Release) -> dict[str, float]:
    """Means out of the bundled evaluation by `set/stage/measure`; empty without one.

    DamagedArtifact for a file that is no evaluation.
    """
    if METRICS_NAME not in release.manifest.files:
        return {}
    release.verify([METRICS_NAME])
    path = release.path(METRICS_NAME)
    try:
        report = json.loads(path.read_bytes())
        return dict(_means(report))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedArtifact(f"{path}: is not an evaluation ({error!r})") from error


def _means(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for query_set in report["query_sets"]:
        for stage, measures in query_set["stages"].items():
            for measure, interval in measures.items():
                yield f"{query_set['name']}/{stage}/{measure}", float(interval["mean"])


def _facts(release: Release) -> dict[str, Any]:
    facts: dict[str, Any] = {"nprobe in force": measured_nprobe(release)}
    for field in dataclasses.fields(release.manifest):
        if field.name in _NOT_COMPARED:
            continue
        value = getattr(release.manifest, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            facts |= {
                f"{field.name}.{key}": each for key, each in dataclasses.asdict(value).items()
            }
        else:
            facts[field.name] = list(value) if isinstance(value, tuple) else value
    return facts


def _files(release: Release) -> dict[str, Any]:
    return {
        name: (record.sha256, record.bytes)
        for name, record in release.manifest.files.items()
        if name != VERSION_NAME
    }


def _gates(release: Release) -> dict[str, Any]:
    return {name: dataclasses.asdict(gate) for name, gate in release.manifest.gates.items()}


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], *, keep_equal: bool = False
) -> tuple[Change, ...]:
    return tuple(
        Change(name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if keep_equal or before.get(name) != after.get(name)
    )
