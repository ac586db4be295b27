"""A new release out of a sealed one: the same files, with what was measured of them sealed in.

A release never changes; what its evaluation and its sweep found becomes part of another one.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from releases.bundle import Release
from releases.layout import METRICS_NAME, VERSION_NAME
from releases.manifest import Gate
from releases.operating_point import measured_nprobe
from releases.writing import discard_work, lock_build, publish_release, staging_folder
from retrieval_core.errors import InvalidInput


def derive_release(  # noqa: PLR0913 -- what is the same, and what is not
    source: Release,
    releases_folder: Path,
    name: str,
    *,
    created: str,
    metrics: Path | None = None,
    nprobe: int | None = None,
) -> Release:
    """Seal release `name` with the files of `source`, verified, and optionally its evaluation.

    created: RFC 3339 in UTC. nprobe None takes the operating point of `source`, or its own. The
    gates of the evaluation join those of the build. Raises InvalidInput for an evaluation of
    another release or an nprobe that the index does not have, FailedPrecondition for a taken name.
    """
    chosen = measured_nprobe(source) if nprobe is None else nprobe
    if not 1 <= chosen <= source.manifest.nlist:
        raise InvalidInput(
            "--nprobe", f"is {chosen}, must lie between 1 and {source.manifest.nlist}"
        )
    gates = {**source.manifest.gates, **(evaluation_gates(metrics, source) if metrics else {})}
    source.verify()
    manifest = dataclasses.replace(
        source.manifest, release_id=name, created=created, nprobe=chosen, gates=gates
    )
    with lock_build(releases_folder, name) as work:
        with staging_folder(releases_folder, name) as staging:
            _copy_files(source, staging)
            if metrics is not None:
                shutil.copyfile(metrics, staging / METRICS_NAME)
            release = publish_release(staging, releases_folder, manifest)
        discard_work(work)
    # What was read for the digests may be other bytes than those that were verified before.
    release.verify()
    return release


def evaluation_gates(path: Path, source: Release) -> dict[str, Gate]:
    """The gates of an evaluation of `source`, those without a figure left out.

    InvalidInput for a file that is no evaluation, or is one of another release.
    """
    try:
        report = json.loads(path.read_bytes())
        evaluated = report["subject"]["release_id"]
        gates = dict(_gates(report))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput("--metrics", f"{path}: is not an evaluation ({error!r})") from error
    if evaluated != source.release_id:
        raise InvalidInput(
            "--metrics", f"{path}: is an evaluation of {evaluated}, not of {source.release_id}"
        )
    return gates


def _gates(report: Mapping[str, Any]) -> Iterator[tuple[str, Gate]]:
    parts = [("", report), *((f"{each['name']}: ", each) for each in report["query_sets"])]
    for prefix, part in parts:
        for gate in part["gates"]:
            if gate["figure"] is not None:
                passed = gate["verdict"] == "PASS"
                figure, limit = float(gate["figure"]), float(gate["limit"])
                yield f"{prefix}{gate['name']}", Gate(figure, limit, passed)


def _copy_files(source: Release, staging: Path) -> None:
    for name in source.manifest.files:
        if name not in {VERSION_NAME, METRICS_NAME}:
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.folder / name, staging / name)
