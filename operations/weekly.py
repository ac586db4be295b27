"""Weekly maintenance: truth rebuilt, evaluation, history, and how the index has aged.

artifacts/faiss/p_flat_ip_YYYYMMDD.faiss     the truth, rebuilt from the corpus as it is now
artifacts/eval/weekly_YYYYMMDD.json          the evaluation that asks it
artifacts/eval/history.jsonl                 gets that evaluation appended
artifacts/eval/weekly_YYYYMMDD_index.json    this module's report
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from building.corpus_vectors import ensure_corpus_file
from evaluation.flat_files import (
    FlatTruthReport,
    corpus_vectors,
    rebuild_flat,
    vectors_digest,
)
from evaluation.gates import combine
from evaluation.history import append_report
from evaluation.in_process import Options
from evaluation.index_files import read_index
from evaluation.intervals import DEFAULT_BOOTSTRAP, Bootstrap, Verdict
from evaluation.json_values import write_object
from evaluation.reports import Report
from evaluation.running import RunRequest, run_evaluation
from operations.index_health import IndexHealth, index_health
from releases.bundle import Release, open_release
from releases.catalog import DEFAULT_RELEASES_FOLDER, resolve_release
from releases.corpus_files import CURRENT_NAME, corpus_path
from releases.layout import IVF_INDEX_NAME
from releases.pointers import CURRENT, read_pointer
from retrieval_core.checksums import sha256_of_file

FORMAT = "retrieval-weekly/1"
MEASURES = ("R@5", "MRR", "Contain@50")


@dataclass(frozen=True, slots=True)
class WeeklyRequest:
    """What to maintain, and when it is; corpus None is the release's own vectors."""

    now: dt.datetime
    release: str = "current"
    releases: Path = DEFAULT_RELEASES_FOLDER
    corpus: Path | None = None
    truths: Path = Path("artifacts/faiss")
    evaluations: Path = Path("artifacts/eval")
    query_sets: Sequence[Path] = ()
    training_record: Path | None = None
    bootstrap: Bootstrap = field(default=DEFAULT_BOOTSTRAP)

    @property
    def day(self) -> str:
        """The day in file names, in UTC."""
        return f"{self.now.astimezone(dt.UTC):%Y%m%d}"

    @property
    def created(self) -> str:
        """This moment, RFC 3339."""
        return f"{self.now.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """Where the evaluation is, its verdict, and R@5, MRR and Contain@50 by query set."""

    file: str
    index: str
    verdict: Verdict
    measures: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class WeeklyReport:
    """What was done; the verdict is the worst of truth, evaluation and index."""

    format: str
    created: str
    release_id: str
    truth: FlatTruthReport
    truth_verdict: Verdict
    evaluation: EvaluationSummary
    history: str
    index: IndexHealth
    verdict: Verdict


def run_weekly(request: WeeklyRequest) -> WeeklyReport:
    """Do all of it and write the reports; given again on the same day, the truth is verified.

    InvalidInput where a truth of this day is there that is of other vectors. A corpus that has
    grown beyond the release has vectors that no passage of the release belongs to: then the
    release's own index is asked, and the report says so.
    """
    release = open_release(resolve_release(request.release, request.releases))
    truth_path = request.truths / f"p_flat_ip_{request.day}.faiss"
    truth = _truth(request.corpus or _corpus_now(release), truth_path, release)
    asked = truth_path if truth.matches_release else None
    evaluation = _evaluate(request, asked)
    history = request.evaluations / "history.jsonl"
    append_report(evaluation, history)
    index = index_health(read_index(release.path(IVF_INDEX_NAME)), truth.vector_count)
    truth_verdict = _truth_verdict(truth, release)
    report = WeeklyReport(
        format=FORMAT,
        created=request.created,
        release_id=release.release_id,
        truth=truth,
        truth_verdict=truth_verdict,
        evaluation=_summarize(evaluation, _evaluation_path(request), asked),
        history=str(history),
        index=index,
        verdict=combine([truth_verdict, evaluation.verdict, index.verdict]),
    )
    write_object(request.evaluations / f"weekly_{request.day}_index.json", report)
    return report


def _corpus_now(release: Release) -> Path:
    """The corpus as it is now, where that is known of this release, or its own vectors."""
    releases_folder = release.folder.parent
    current = corpus_path(releases_folder, release.release_id).with_name(CURRENT_NAME)
    is_current = read_pointer(releases_folder, CURRENT) == release.release_id
    return current if is_current and current.is_file() else ensure_corpus_file(release)


def _truth(corpus: Path, out: Path, release: Release) -> FlatTruthReport:
    vectors = corpus_vectors(corpus)
    sealed = out.with_name(f"{out.name}.json")
    if out.is_file() and sealed.is_file():
        written = FlatTruthReport(**json.loads(sealed.read_bytes()))
        is_whole = sha256_of_file(out) == written.sha256
        if is_whole and written.vectors_digest == vectors_digest(vectors):
            return written
    return rebuild_flat(vectors, corpus.name, out, release)


def _evaluate(request: WeeklyRequest, index: Path | None) -> Report:
    return run_evaluation(
        RunRequest(
            created=request.created,
            release=request.release,
            releases=request.releases,
            query_sets=request.query_sets,
            training_record=request.training_record,
            options=Options(index=index),
            out=_evaluation_path(request),
            bootstrap=request.bootstrap,
        )
    )


def _evaluation_path(request: WeeklyRequest) -> Path:
    return request.evaluations / f"weekly_{request.day}.json"


def _truth_verdict(truth: FlatTruthReport, release: Release) -> Verdict:
    """Equal vectors pass; other ones of the same number were altered, and fail.

    Another number is a corpus that has moved on, of which nothing can be told here.
    """
    if truth.matches_release:
        return Verdict.PASS
    same_count = truth.vector_count == release.manifest.passage_count
    return Verdict.FAIL if same_count else Verdict.INCONCLUSIVE


def _summarize(report: Report, file: Path, index: Path | None) -> EvaluationSummary:
    return EvaluationSummary(
        file=str(file),
        index="the release's own" if index is None else str(index),
        verdict=report.verdict,
        measures={
            each.name: {name: each.final[name].mean for name in MEASURES}
            for each in report.query_sets
        },
    )
