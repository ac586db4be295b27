"""The week's chores in one command, with its defaults, from a folder like a repository's root."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from evaluation.metrics_files import read_reports
from retrieval_core.vectors import normalize_rows
from tests.support.made_up_corpus import write_articles
from tests.unit.building.tiny_encoder import make_encoder_folder
from tools import build_release, weekly_maintenance


def _run(app: typer.Typer, *arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def _weekly(*arguments: object) -> tuple[int, dict[str, Any]]:
    status, printed, error = _run(weekly_maintenance.app, "--resamples", 200, "--json", *arguments)
    assert printed, error
    return status, json.loads(printed)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once; every test works on a copy."""
    folder = tmp_path_factory.mktemp("weekly")
    articles = write_articles(folder / "articles", articles=40, paragraphs=5)
    status, _, error = _run(
        build_release.app,
        *("--corpus", articles, "--name", "one", "--max-tokens", 60, "--workers", 1, "--json"),
        *("--encoder", make_encoder_folder(folder / "encoder")),
        *("--releases", folder / "artifacts" / "releases"),
    )
    assert status == 0, error
    return folder


@pytest.fixture(autouse=True)
def artifacts(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """artifacts/ in the working directory, with a current release."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(built / "artifacts", tmp_path / "artifacts", symlinks=True))


def test_a_week_leaves_truth_evaluation_history_and_a_report(artifacts: Path) -> None:
    status, report = _weekly()
    assert report["truth_verdict"] == "PASS"
    assert (status == 0) == (report["verdict"] == "PASS")
    (truth,) = artifacts.glob("faiss/p_flat_ip_????????.faiss")
    assert report["evaluation"]["index"] == f"artifacts/faiss/{truth.name}"
    (evaluation,) = artifacts.glob("eval/weekly_????????.json")
    (written,) = artifacts.glob("eval/weekly_????????_index.json")
    assert json.loads(written.read_bytes()) == report
    history = artifacts / "eval" / "history.jsonl"
    assert history.read_bytes() == evaluation.read_bytes()
    index = report["index"]
    assert index["verdict"] == "PASS"
    assert index["growth_ratio"] == 0.0
    assert index["smallest_list"] <= index["median_list"] <= index["largest_list"]
    # Given again on the same day: the truth is verified, and history goes on.
    again, shown, _ = _run(weekly_maintenance.app, "--resamples", 200)
    assert again == status
    assert "weekly maintenance of one" in shown
    assert json.loads(written.read_bytes())["truth"] == report["truth"]
    assert len(read_reports(history)) == 2


def test_a_corpus_that_has_outgrown_its_index_is_told(artifacts: Path) -> None:
    with np.load(artifacts / "corpus" / "current.npz") as arrays:
        vectors, ids = arrays["vectors"], arrays["passage_ids"]
    more = normalize_rows(np.random.default_rng(1).normal(size=(len(ids) // 4, 768)))
    np.savez("grown.npz", vectors=np.concatenate([vectors, more]), passage_ids=np.arange(len(ids)))
    status, report = _weekly("--corpus", "grown.npz")
    assert status == 1
    assert report["index"]["growth_ratio"] == pytest.approx(0.25, abs=0.01)
    assert "build a release" in report["index"]["notes"][0]
    assert report["truth_verdict"] == "INCONCLUSIVE"
    assert report["evaluation"]["index"] == "the release's own"
    # A truth of this day that is of other vectors is never overwritten.
    refused, _, error = _run(weekly_maintenance.app, "--resamples", 200)
    assert refused == 2
    assert "a truth is never overwritten" in error


def test_vectors_that_were_altered_fail(artifacts: Path) -> None:
    with np.load(artifacts / "corpus" / "current.npz") as arrays:
        vectors, ids = arrays["vectors"].copy(), arrays["passage_ids"]
    vectors[[0, 1]] = vectors[[1, 0]]
    np.savez("altered.npz", vectors=vectors, passage_ids=ids)
    status, report = _weekly("--corpus", "altered.npz")
    assert (status, report["truth_verdict"]) == (1, "FAIL")
