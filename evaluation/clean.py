"""One clean evaluation from start to end: check, ask, judge, keep the hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.arms import Arm
from evaluation.hits_files import hits_of, write_hits
from evaluation.in_process import InProcess, Options
from evaluation.index_files import read_index
from evaluation.intervals import DEFAULT_BOOTSTRAP, Bootstrap
from evaluation.norms import check_index_norms
from evaluation.overlap import TrainingRecord, refuse_overlap
from evaluation.querysets import HEADER_NAME, QuerySet, read_query_set
from evaluation.rankings import Asked, Asker, Stage
from evaluation.release_passages import ReleasePassages
from evaluation.reports import AS_SERVED, Report, Subject, make_report, make_set_report
from evaluation.through_services import ThroughServices
from releases.bundle import Release
from releases.layout import FLAT_INDEX_NAME
from releases.operating_point import measured_nprobe
from retrieval_client import RetrievalClient
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import UNIT_NORM_TOLERANCE

DEFAULT_SETS_FOLDER = Path("artifacts/eval/querysets")
HITS_SUFFIXES: Mapping[Stage, str] = {
    Stage.SEARCH: "baseline.jsonl",
    Stage.RERANK: "reranked.jsonl",
}


@dataclass(frozen=True, slots=True)
class Service:
    """A running gateway to ask instead of loading the release."""

    address: str
    timeout_ms: float = 5000.0
    connect_timeout_s: float = 5.0
    concurrency: int = 1
    arm: Arm = Arm.BASELINE


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evaluate with what; `hits_prefix` None keeps no hits files."""

    release: Release
    query_sets: Sequence[QuerySet]
    record: TrainingRecord | None
    created: str
    options: Options = field(default_factory=Options)
    service: Service | None = None
    hits_prefix: Path | None = None
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP


def evaluate(plan: Plan) -> Report:
    """Run the plan.

    QuerySetError when a set shares an article or a text with training, FailedPrecondition for a
    set made for another corpus; both before anything is asked.
    """
    passages = ReleasePassages.open(plan.release)
    for query_set in plan.query_sets:
        passages.check_fits(query_set)
        if plan.record is not None:
            refuse_overlap(query_set, passages.texts_of(query_set), plan.record)
    asked, mode = _ask_all(plan, passages)
    sets = [make_set_report(each, passages, plan.bootstrap) for each in asked]
    subject = _describe(plan, passages, mode, _keep_hits(asked, plan.hits_prefix))
    return make_report(subject, sets, _passage_norm_deviation(plan.release), plan.bootstrap)


def find_query_sets(folders: Sequence[Path], passages_digest: str) -> list[QuerySet]:
    """The named sets, or without names those under the default folder that fit the release."""
    if folders:
        return [read_query_set(folder) for folder in folders]
    headers = sorted(DEFAULT_SETS_FOLDER.glob(f"*/{HEADER_NAME}"))
    found = [read_query_set(header.parent) for header in headers]
    return [query_set for query_set in found if query_set.corpus_digest == passages_digest]


def _ask_all(plan: Plan, passages: ReleasePassages) -> tuple[list[Asked], str]:
    if plan.service is None:
        asker: Asker = InProcess.load(plan.release, passages, plan.options)
        return [asker.ask(query_set) for query_set in plan.query_sets], asker.mode
    if plan.options.index is not None:
        raise InvalidInput("--index", "is searched in this process; leave --address out")
    service = plan.service
    with RetrievalClient(service.address, timeout_ms=service.timeout_ms) as client:
        client.wait_until_ready(service.connect_timeout_s)
        through = ThroughServices(
            client,
            plan.release.release_id,
            service.arm,
            plan.options.nprobe,
            plan.options.query_model,
            plan.options.with_rerank,
            service.concurrency,
        )
        return [through.ask(query_set) for query_set in plan.query_sets], through.mode


def _keep_hits(asked: Sequence[Asked], prefix: Path | None) -> dict[str, dict[str, str]]:
    if prefix is None:
        return {}
    kept: dict[str, dict[str, str]] = {}
    for stage, suffix in HITS_SUFFIXES.items():
        if stage is Stage.RERANK and not any(each.is_reranked for each in asked):
            continue
        path = prefix.with_name(f"{prefix.name}_{suffix}")
        write_hits([hits for each in asked for hits in hits_of(each, stage)], path)
        kept[stage.value] = {"file": path.name, "sha256": sha256_of_file(path)}
    return kept


def _describe(
    plan: Plan, passages: ReleasePassages, mode: str, hits: dict[str, dict[str, str]]
) -> Subject:
    manifest = plan.release.manifest
    return Subject(
        created=plan.created,
        release_id=plan.release.release_id,
        encoder=manifest.encoder.fingerprint,
        corpus_digest=passages.digest,
        mode=mode,
        nprobe=plan.options.nprobe or measured_nprobe(plan.release),
        index=plan.options.index.name if plan.options.index else AS_SERVED,
        training_record=plan.record.name if plan.record else "",
        hits=hits,
    )


def _passage_norm_deviation(release: Release) -> float:
    release.verify([FLAT_INDEX_NAME])
    file = read_index(release.path(FLAT_INDEX_NAME))
    return check_index_norms(file, FLAT_INDEX_NAME, UNIT_NORM_TOLERANCE).worst
