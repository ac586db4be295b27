"""A quick look into a release: is it whole, does its index find, are its vectors of unit norm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from evaluation.agreement import AgreementCheck, check_agreement, passage_queries
from evaluation.gates import AGREEMENT_DEPTH, LEAST_AGREEMENT
from evaluation.index_files import IndexFile, read_index
from evaluation.norms import check_index_norms
from index_svc.artifacts import imbalance_ratio
from operations.observations import ReleaseView
from releases.bundle import Release, open_release
from releases.catalog import resolve_release
from releases.corpus_files import CURRENT_NAME, corpus_path, corpus_row_count
from releases.layout import FLAT_INDEX_NAME, IVF_INDEX_NAME
from releases.operating_point import measured_nprobe
from releases.verification import find_problems
from retrieval_core.errors import RetrievalError
from retrieval_core.vectors import UNIT_NORM_TOLERANCE


def look_at_release(name: str, releases_folder: Path, query_count: int) -> ReleaseView:
    """What there is to see; a release that is not there or is damaged is a view that says so.

    Every file is read. The index is held against exact search with `query_count` passages.
    """
    try:
        folder = resolve_release(name, releases_folder)
        problems = find_problems(folder)
        if problems:
            return ReleaseView(folder.name, "; ".join(f"{p.file} {p.reason}" for p in problems[:3]))
        return _look(open_release(folder), query_count)
    except RetrievalError as error:
        return ReleaseView(name, error.message)


def _look(release: Release, query_count: int) -> ReleaseView:
    manifest = release.manifest
    view = ReleaseView(
        name=release.release_id,
        passage_count=manifest.passage_count,
        nprobe=measured_nprobe(release),
        fingerprint=manifest.encoder.fingerprint,
        growth_ratio=_growth_ratio(release),
    )
    ivf = read_index(release.path(IVF_INDEX_NAME))
    norms = check_index_norms(ivf, IVF_INDEX_NAME, UNIT_NORM_TOLERANCE)
    view = replace(
        view,
        worst_norm_deviation=norms.worst,
        imbalance_ratio=imbalance_ratio(cast(Any, ivf.index)),
    )
    return _with_agreement(view, release, ivf, query_count)


def _with_agreement(
    view: ReleaseView, release: Release, ivf: IndexFile, query_count: int
) -> ReleaseView:
    flat = read_index(release.path(FLAT_INDEX_NAME))
    report = check_agreement(
        flat,
        ivf,
        passage_queries(flat, query_count, seed=0),
        AgreementCheck(AGREEMENT_DEPTH, view.nprobe, LEAST_AGREEMENT),
    )
    gate = report.gate
    bounds = None if gate.low is None or gate.high is None else (gate.low, gate.high)
    return replace(view, agreement=gate.figure, agreement_bounds=bounds)


def _growth_ratio(release: Release) -> float | None:
    """Of the current corpus over the release's passages; None without such a file."""
    current = corpus_path(release.folder.parent, release.release_id).with_name(CURRENT_NAME)
    rows = corpus_row_count(current)
    return None if rows is None else rows / release.manifest.passage_count - 1.0
