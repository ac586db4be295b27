"""Agreement, sweep, norms, truths and operating points on a release of random vectors."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.agreement import (
    AgreementCheck,
    VectorQueries,
    best_rows,
    check_agreement,
    passage_queries,
)
from evaluation.charts import draw_sweep
from evaluation.flat_files import (
    corpus_vectors,
    export_vectors,
    rebuild_flat,
    release_vectors,
    vectors_digest,
)
from evaluation.index_files import IndexFile, IndexSearch, check_same_rows, read_index
from evaluation.intervals import Bootstrap, Interval, Verdict
from evaluation.norms import check_array_norms, check_norms, check_release_norms, read_vectors
from evaluation.operating_points import record_operating_point
from evaluation.query_sources import QuerySource, load_queries
from evaluation.sweep import SweepPlan, SweepPoint, pick, sweep_nprobe
from releases.layout import FLAT_INDEX_NAME, IVF_INDEX_NAME
from releases.operating_point import (
    OperatingPoint,
    measured_nprobe,
    operating_point_path,
    read_operating_point,
    write_operating_point,
)
from retrieval_core.errors import DamagedArtifact, InvalidInput, NotFound
from tests.support.tiny_release import TinyRelease, build_tiny_release, queries_near, tiny_corpus

FEW = Bootstrap(resamples=300)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    corpus = tiny_corpus(600)
    return build_tiny_release(tmp_path_factory.mktemp("r"), corpus=corpus, shard_count=2, nprobe=1)


@pytest.fixture(scope="module")
def flat(tiny: TinyRelease) -> IndexFile:
    return read_index(tiny.folder / FLAT_INDEX_NAME)


@pytest.fixture(scope="module")
def ivf(tiny: TinyRelease) -> IndexFile:
    return read_index(tiny.folder / IVF_INDEX_NAME)


def _check(nprobe: int, threshold: float = 0.95) -> AgreementCheck:
    return AgreementCheck(10, nprobe, threshold, FEW)


def test_scanning_every_list_agrees_entirely(flat: IndexFile, ivf: IndexFile) -> None:
    report = check_agreement(flat, ivf, passage_queries(flat, 80, 0), _check(10_000))
    assert (report.gate.figure, report.worst, report.rank1_agreement) == (1.0, 1.0, 1.0)
    assert report.nprobe == ivf.nlist
    assert report.gate.verdict is Verdict.PASS


def test_agreement_is_what_counting_gives(flat: IndexFile, ivf: IndexFile) -> None:
    vectors = flat.vectors()
    queries = passage_queries(flat, 60, 3)
    found = best_rows(IndexSearch(ivf), queries, 10, 1)
    shares = []
    for vector, own, rows in zip(queries.vectors, queries.excluded, found, strict=True):
        scores = vectors @ vector
        scores[own] = -2.0
        shares.append(len(set(np.argsort(-scores)[:10].tolist()) & set(rows.tolist())) / 10)
        assert own[0] not in rows
    report = check_agreement(flat, ivf, queries, _check(1))
    assert report.gate.figure == pytest.approx(np.mean(shares), abs=1e-6)
    assert report.gate.figure is not None
    assert report.gate.figure < 1.0


def test_the_release_decides_nprobe_and_a_wide_interval_is_no_pass(
    flat: IndexFile, ivf: IndexFile
) -> None:
    report = check_agreement(flat, ivf, passage_queries(flat, 40, 0), _check(0))
    assert report.nprobe == 1
    assert report.gate.figure is not None
    spanning = check_agreement(
        flat, ivf, passage_queries(flat, 40, 0), _check(0, report.gate.figure)
    )
    assert spanning.gate.verdict is Verdict.INCONCLUSIVE


def test_indexes_of_other_rows_are_refused(flat: IndexFile, ivf: IndexFile, tmp_path: Path) -> None:
    rebuild_flat(tiny_corpus(100).vectors, "small", tmp_path / "small.faiss")
    small = read_index(tmp_path / "small.faiss")
    with pytest.raises(InvalidInput, match="has 100 vectors"):
        check_same_rows(small, ivf)
    with pytest.raises(InvalidInput, match="not a flat index"):
        check_same_rows(ivf, flat)


def test_files_that_are_no_index_are_refused_by_name(tmp_path: Path) -> None:
    bad = tmp_path / "bad.faiss"
    bad.write_bytes(b"not an index at all")
    with pytest.raises(DamagedArtifact, match=r"bad\.faiss"):
        read_index(bad)
    with pytest.raises(NotFound, match=r"absent\.faiss"):
        read_index(tmp_path / "absent.faiss")


def test_an_index_of_a_release_is_verified_before_it_is_read(
    tiny: TinyRelease, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny.folder, copy, copy_function=shutil.copyfile)
    path = copy / FLAT_INDEX_NAME
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedArtifact, match="sha256"):
        read_index(path)


def _ticks() -> Iterator[int]:
    return itertools.count(0, 1_000_000)


def test_a_sweep_picks_the_smallest_nprobe_that_passes(flat: IndexFile, ivf: IndexFile) -> None:
    ticks = _ticks()
    plan = SweepPlan([1, 2, 4, 10_000], bootstrap=FEW)
    sweep = sweep_nprobe(flat, ivf, passage_queries(flat, 100, 0), plan, lambda: next(ticks))
    assert [point.nprobe for point in sweep.points] == [1, 2, 4, ivf.nlist]
    recalls = [point.recall for point in sweep.points]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1.0
    assert {point.p95_ms for point in sweep.points} == {1.0}
    passing = [
        point.nprobe
        for point in sweep.points
        if point.loss_pp.low >= -0.5 and point.agreement.low >= 0.95
    ]
    assert (sweep.picked, sweep.verdict) == (min(passing), Verdict.PASS)


def test_a_sweep_that_is_too_slow_picks_nothing(flat: IndexFile, ivf: IndexFile) -> None:
    ticks = _ticks()
    plan = SweepPlan([1, 4], target_ms=0.5, bootstrap=FEW)
    sweep = sweep_nprobe(flat, ivf, passage_queries(flat, 30, 0), plan, lambda: next(ticks))
    assert (sweep.picked, sweep.verdict) == (None, Verdict.FAIL)


def test_a_pick_that_could_not_ship_is_none(flat: IndexFile, ivf: IndexFile) -> None:
    """Golds that any nprobe finds, but a first ten that few lists do not agree on."""
    queries = passage_queries(flat, 100, 0)
    easy = replace(queries, golds=[rows[:1] for rows in best_rows(IndexSearch(ivf), queries, 1, 1)])
    strict = SweepPlan([1, ivf.nlist], target_ms=1e6, bootstrap=FEW)
    anything = replace(strict, least_agreement=0.0)
    assert sweep_nprobe(flat, ivf, easy, anything).picked == 1
    assert sweep_nprobe(flat, ivf, easy, strict).picked == ivf.nlist


def test_stated_golds_are_what_recall_counts(flat: IndexFile, ivf: IndexFile) -> None:
    queries = passage_queries(flat, 50, 1)
    worst = [
        np.array([int(np.argmin(flat.vectors() @ vector))], np.int64) for vector in queries.vectors
    ]
    sweep = sweep_nprobe(
        flat, ivf, replace(queries, golds=worst), SweepPlan([ivf.nlist], bootstrap=FEW)
    )
    assert (sweep.flat_recall, sweep.points[0].recall) == (0.0, 0.0)


def _point(nprobe: int, low: float, high: float, *, in_time: bool = True) -> SweepPoint:
    loss = Interval((low + high) / 2, low, high)
    verdict = loss.verdict_at_least(-0.5)
    return SweepPoint(
        nprobe, 0.9, loss, loss, 1.0, 1.0, 1.0, verdict, Verdict.PASS, within_target=in_time
    )


def test_an_open_point_is_picked_only_where_none_passes() -> None:
    sure, spanning, bad = _point(16, -0.4, 0.0), _point(8, -0.9, 0.0), _point(4, -3.0, -1.0)
    assert pick([bad, spanning, sure]) == (16, Verdict.PASS)
    assert pick([bad, spanning]) == (8, Verdict.INCONCLUSIVE)
    assert pick([bad, _point(32, 0.0, 0.0, in_time=False)]) == (None, Verdict.FAIL)


def test_only_a_sweep_that_passed_becomes_the_operating_point(
    flat: IndexFile, ivf: IndexFile, tiny: TinyRelease
) -> None:
    queries = passage_queries(flat, 60, 0)
    good = sweep_nprobe(flat, ivf, queries, SweepPlan([ivf.nlist], target_ms=1e6, bootstrap=FEW))
    assert record_operating_point(tiny.release, replace(good, verdict=Verdict.FAIL), "now") is None
    assert read_operating_point(tiny.release) is None
    path = record_operating_point(tiny.release, good, "2026-01-01T00:00:00Z")
    assert path == operating_point_path(tiny.release)
    read = read_operating_point(tiny.release)
    assert read is not None
    assert (read.nprobe, read.loss_pp) == (ivf.nlist, 0.0)
    tiny.release.verify()


def test_an_altered_or_foreign_operating_point_is_refused(tmp_path: Path) -> None:
    first = build_tiny_release(tmp_path, name="first").release
    second = build_tiny_release(tmp_path, name="second", corpus=tiny_corpus(200)).release
    point = OperatingPoint(3, "2026-01-01T00:00:00Z", -0.25, 2.5)
    assert measured_nprobe(first) == first.manifest.nprobe != 3
    path = write_operating_point(first, point)
    assert read_operating_point(first) == point
    assert measured_nprobe(first) == read_index(first.folder / IVF_INDEX_NAME).nprobe == 3
    shutil.copy(path, operating_point_path(second))
    with pytest.raises(DamagedArtifact, match="another build"):
        read_operating_point(second)
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "nprobe": 5}))
    with pytest.raises(DamagedArtifact, match="altered"):
        read_operating_point(first)
    with pytest.raises(ValueError, match="nprobe"):
        write_operating_point(first, replace(point, nprobe=100_000))


def test_norms_of_a_release_cover_truth_index_and_shards(tiny: TinyRelease) -> None:
    reports = check_release_norms(tiny.release, 1e-5)
    assert [report.vector_count for report in reports] == [600, 600, 300, 300]
    assert {report.verdict for report in reports} == {Verdict.PASS}
    assert all(report.worst < 1e-6 for report in reports)


@pytest.mark.parametrize("value", [2e-5, -2e-5, float("nan")])
def test_a_norm_that_is_off_is_found_and_named(value: float) -> None:
    vectors = tiny_corpus(40).vectors.astype(np.float64)
    vectors[17] *= 1.0 + value
    blocks = vectors.astype(np.float32)
    report = check_norms("x", iter([blocks[:10], blocks[10:]]))
    assert (report.off_count, list(report.examples)) == (1, [17])
    assert report.verdict is Verdict.FAIL


def test_norms_of_nothing_are_inconclusive() -> None:
    assert check_norms("x", iter([])).verdict is Verdict.INCONCLUSIVE


def test_array_files_are_read_and_others_refused(tmp_path: Path) -> None:
    vectors = tiny_corpus(20).vectors
    np.save(tmp_path / "v.npy", vectors)
    np.savez(tmp_path / "v.npz", vectors=vectors)
    np.savez(tmp_path / "w.npz", other=vectors)
    np.save(tmp_path / "i.npy", np.arange(3))
    assert check_array_norms(tmp_path / "v.npy", 1e-5).vector_count == 20
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.npz"), vectors)
    for name in ("w.npz", "i.npy"):
        with pytest.raises(InvalidInput):
            read_vectors(tmp_path / name)
    with pytest.raises(NotFound):
        read_vectors(tmp_path / "absent.npy")


def test_a_rebuilt_truth_equals_the_releases_own(tiny: TinyRelease, tmp_path: Path) -> None:
    vectors = release_vectors(tiny.release)
    np.testing.assert_array_equal(vectors, tiny.corpus.vectors)
    report = rebuild_flat(vectors, "tiny", tmp_path / "new" / "t.faiss", tiny.release)
    assert report.matches_release is True
    assert report.vectors_digest == vectors_digest(tiny.corpus.vectors)
    assert json.loads((tmp_path / "new" / "t.faiss.json").read_text())["sha256"] == report.sha256
    assert (tmp_path / "new" / "t.faiss").read_bytes() == (
        tiny.folder / FLAT_INDEX_NAME
    ).read_bytes()
    with pytest.raises(InvalidInput, match="exists"):
        rebuild_flat(vectors, "tiny", tmp_path / "new" / "t.faiss")


def test_a_truth_of_other_vectors_is_told(tiny: TinyRelease, tmp_path: Path) -> None:
    report = rebuild_flat(tiny_corpus(600, seed=9).vectors, "x", tmp_path / "t.faiss", tiny.release)
    assert report.matches_release is False


def test_exported_vectors_rebuild_the_same_truth(tiny: TinyRelease, tmp_path: Path) -> None:
    assert export_vectors(tiny.release, tmp_path / "current.npz") == 600
    np.testing.assert_array_equal(corpus_vectors(tmp_path / "current.npz"), tiny.corpus.vectors)


def test_a_corpus_that_is_not_of_unit_norm_is_refused(tmp_path: Path) -> None:
    vectors = tiny_corpus(20).vectors
    vectors[4] *= 2
    np.save(tmp_path / "v.npy", vectors)
    with pytest.raises(InvalidInput, match=r"first rows \[4\]"):
        corpus_vectors(tmp_path / "v.npy")


def test_queries_of_a_file_are_asked_as_they_are(
    tiny: TinyRelease, flat: IndexFile, tmp_path: Path
) -> None:
    path = tmp_path / "q.npy"
    np.save(path, queries_near(tiny.corpus.vectors, 9))
    queries: VectorQueries = load_queries(flat, QuerySource(5, vectors=path))
    assert len(queries) == 5
    truth = best_rows(IndexSearch(flat), queries, 3)
    expected = np.argsort(-(queries.vectors @ tiny.corpus.vectors.T), axis=1)[:, :3]
    np.testing.assert_array_equal(np.array(truth), expected)


def test_sources_exclude_each_other(flat: IndexFile, tmp_path: Path) -> None:
    source = QuerySource(5, vectors=tmp_path / "a", query_set=tmp_path / "b")
    with pytest.raises(InvalidInput, match="exclude each other"):
        load_queries(flat, source)


def test_a_sweep_is_drawn_as_png(flat: IndexFile, ivf: IndexFile, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plan = SweepPlan([1, 2, 4], bootstrap=FEW)
    draw_sweep(sweep_nprobe(flat, ivf, passage_queries(flat, 30, 0), plan), tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
