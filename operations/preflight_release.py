"""Checks of the release itself: what it holds, and how well it finds and ranks."""

from __future__ import annotations

import subprocess

from evaluation.agreement import AgreementCheck, check_agreement, passage_queries
from evaluation.comparing import LEAST_LIFT_PP, compare_hits
from evaluation.encoder_norms import check_encoder_norms
from evaluation.gates import AGREEMENT_DEPTH, LEAST_AGREEMENT
from evaluation.hits_files import read_hits
from evaluation.intervals import DEFAULT_BOOTSTRAP, Verdict
from evaluation.metrics_files import read_metrics
from evaluation.norms import check_release_norms, combined_verdict
from operations.findings import Finding, failed, judged, passed, unknown
from operations.preflight_subject import PreflightSubject
from releases import layout
from releases.verification import find_problems
from retrieval_core.errors import NotFound
from retrieval_core.vectors import UNIT_NORM_TOLERANCE

AGREEMENT_QUERIES = 400
ENCODED_TEXTS = 32
REQUIRED_FILES = (
    layout.VERSION_NAME,
    layout.FLAT_INDEX_NAME,
    layout.IVF_INDEX_NAME,
    layout.PASSAGES_NAME,
    layout.PROJECTION_NAME,
    f"{layout.ENCODER_FOLDER}/manifest.json",
    layout.RERANKER_MODEL_NAME,
    layout.RERANKER_MANIFEST_NAME,
)


def check_files(subject: PreflightSubject) -> Finding:
    """The release is there and lists everything that serving needs."""
    try:
        files = subject.release.manifest.files
    except NotFound as error:
        return failed("no release", error.message)
    required = [*REQUIRED_FILES, *_query_model_files(subject.pins.retriever_impl)]
    missing = [name for name in required if name not in files]
    figure = f"{len(files)} files of {subject.release.release_id}"
    return judged(not missing, figure, f"missing: {', '.join(missing)}" if missing else "")


def _query_model_files(retriever_impl: str) -> list[str]:
    """Trained query models are files of the release; simple rules are not."""
    if retriever_impl not in layout.QUERY_MODEL_NAMES:
        return []
    return [
        layout.query_model_graph(retriever_impl),
        layout.query_model_manifest(retriever_impl),
    ]


def check_tag(subject: PreflightSubject) -> Finding:
    """The git tag of the release exists; where it points is told."""
    tagged = _git(subject, "rev-list", "-n", "1", f"refs/tags/{subject.tag}")
    if tagged.returncode:
        repository = _git(subject, "rev-parse", "--git-dir")
        if repository.returncode:
            return unknown("this is no git repository")
        return failed("no such tag")
    commit, head = tagged.stdout.strip(), _git(subject, "rev-parse", "HEAD").stdout.strip()
    detail = "" if commit == head else f"HEAD is {head[:12]}: what is checked out is not the tag"
    return passed(commit[:12], detail)


def check_checksums(subject: PreflightSubject) -> Finding:
    """Every file of the release is read and is what the manifest says."""
    problems = find_problems(subject.release.folder)
    shown = "; ".join(f"{problem.file} {problem.reason}" for problem in problems[:3])
    more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    return judged(not problems, f"{len(problems)} bad files", shown + more)


def check_ivf_agreement(subject: PreflightSubject) -> Finding:
    """The index finds what exact search finds, at the nprobe in force."""
    queries = passage_queries(subject.flat, AGREEMENT_QUERIES, seed=0)
    check = AgreementCheck(AGREEMENT_DEPTH, subject.nprobe, LEAST_AGREEMENT)
    report = check_agreement(subject.flat, subject.ivf, queries, check)
    gate = report.gate
    interval = f"{gate.low:.3f} to {gate.high:.3f}" if gate.low is not None else ""
    return Finding(
        gate.verdict,
        f"{gate.figure:.3f}",
        f"{report.query_count} passages asked at nprobe {report.nprobe}; 95 % interval {interval}",
    )


def check_reranker_lift(subject: PreflightSubject) -> Finding:
    """Reranking raises R@5 of contexts by the wanted lift, and costs questions nothing."""
    paths = subject.paths
    for path in (paths.hits, paths.reranked):
        if not path.is_file():
            return unknown(f"{path} is not there")
    comparison = compare_hits(
        read_hits(paths.hits), read_hits(paths.reranked), LEAST_LIFT_PP, DEFAULT_BOOTSTRAP
    )
    tasks = [
        f"{task.task or 'queries'} {task.measures['R@5'].difference_pp.mean:+.1f} pp"
        for task in comparison.tasks
    ]
    changes = [f"rank 1 changes for {task.rank1_change_ratio:.0%}" for task in comparison.tasks]
    return Finding(comparison.verdict, ", ".join(tasks), "; ".join(changes))


def check_norms(subject: PreflightSubject) -> Finding:
    """Every passage vector, and vectors that the encoder makes now, are of unit norm."""
    reports = check_release_norms(subject.release, UNIT_NORM_TOLERANCE)
    reports += check_encoder_norms(subject.release, ENCODED_TEXTS, UNIT_NORM_TOLERANCE)
    worst = max(reports, key=lambda report: report.off_count)
    count = sum(report.vector_count for report in reports)
    detail = f"{count:,} vectors of {len(reports)} sources"
    if worst.off_count:
        detail += f"; {worst.off_count:,} are off in {worst.source}"
    return Finding(combined_verdict(reports), f"{max(r.worst for r in reports):.1e}", detail)


def check_ship_gates(subject: PreflightSubject) -> Finding:
    """The clean evaluation of this very release passed."""
    path = subject.paths.metrics
    if not path.is_file():
        return unknown(f"{path} is not there")
    metrics = read_metrics(path)
    figures = ", ".join(
        f"{name}: "
        + ", ".join(f"{m} {each.final[m].mean:.3f}" for m in ("R@5", "MRR", "Contain@50"))
        for name, each in metrics.query_sets.items()
    )
    if metrics.release_id not in _names_of_origin(subject):
        return failed(figures, f"{path} is an evaluation of {metrics.release_id}")
    verdict = Verdict(metrics.verdict)
    return Finding(verdict, figures, f"evaluated {metrics.created}")


def _names_of_origin(subject: PreflightSubject) -> set[str]:
    """The release, and the one it was sealed from: the evaluation that was sealed in names it."""
    release = subject.release
    names = {release.release_id}
    if layout.METRICS_NAME in release.manifest.files:
        release.verify([layout.METRICS_NAME])
        names.add(read_metrics(release.path(layout.METRICS_NAME)).release_id)
    return names


def _git(subject: PreflightSubject, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", str(subject.paths.repository), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
