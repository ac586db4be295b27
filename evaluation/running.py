"""One evaluation as a command asks for it: find release, queries and record, evaluate, write."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.clean import DEFAULT_SETS_FOLDER, Plan, Service, evaluate, find_query_sets
from evaluation.in_process import Options
from evaluation.intervals import DEFAULT_BOOTSTRAP, Bootstrap
from evaluation.json_values import write_object
from evaluation.overlap import (
    DEFAULT_RECORD_FOLDER,
    HEADER_NAME,
    TrainingRecord,
    read_training_record,
)
from evaluation.own_queries import make_own_sets
from evaluation.querysets import QuerySet
from evaluation.release_passages import ReleasePassages, corpus_digest
from evaluation.reports import Report
from releases.bundle import Release, open_release
from releases.catalog import DEFAULT_RELEASES_FOLDER, resolve_release


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What an operator says; what is left out has the defaults of docs/evaluation.md."""

    created: str
    release: str = "current"
    releases: Path = DEFAULT_RELEASES_FOLDER
    query_sets: Sequence[Path] = ()
    training_record: Path | None = None
    options: Options = field(default_factory=Options)
    service: Service | None = None
    out: Path | None = None
    hits: Path | None = None
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP

    @property
    def hits_prefix(self) -> Path | None:
        """Where hits files begin: as named, or beside the report."""
        if self.hits is not None or self.out is None:
            return self.hits
        return self.out.with_name(f"{self.out.stem}_hits50")


def run_evaluation(request: RunRequest) -> Report:
    """Evaluate and write the report; errors are those of clean.evaluate and of reading."""
    release = open_release(resolve_release(request.release, request.releases))
    record = find_training_record(request.training_record)
    report = evaluate(
        Plan(
            release=release,
            query_sets=query_sets_for(release, request.query_sets, record),
            record=record,
            created=request.created,
            options=request.options,
            service=request.service,
            hits_prefix=request.hits_prefix,
            bootstrap=request.bootstrap,
        )
    )
    if request.out is not None:
        write_object(request.out, report)
    return report


def find_training_record(folder: Path | None) -> TrainingRecord | None:
    """The named record, or the default one where it is there."""
    if folder is None and not (DEFAULT_RECORD_FOLDER / HEADER_NAME).is_file():
        return None
    return read_training_record(folder or DEFAULT_RECORD_FOLDER)


def query_sets_for(
    release: Release, folders: Sequence[Path], record: TrainingRecord | None
) -> list[QuerySet]:
    """Those that were named, or fit the release; without any, what its passages allow."""
    found = find_query_sets(folders, corpus_digest(release))
    if found:
        return found
    made = make_own_sets(ReleasePassages.open(release), record, DEFAULT_SETS_FOLDER)
    sys.stderr.write(
        f"note: no query set under {DEFAULT_SETS_FOLDER} fits {release.release_id}, so "
        f"{' and '.join(each.name for each in made)} were made of its own passages; "
        "tools/make_query_set.py makes better ones of real questions\n"
    )
    return made
