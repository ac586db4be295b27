"""The commands of the evaluation as an operator gives them, on a small release."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from evaluation import charts, show_trend
from evaluation.hits_files import read_hits
from evaluation.in_process import InProcess, Options
from evaluation.index_files import read_index
from evaluation.overlap import make_training_record, write_training_record
from evaluation.querysets import read_query_set
from evaluation.release_passages import ReleasePassages
from releases.bundle import open_release
from releases.layout import FLAT_INDEX_NAME
from tests.unit.building.tiny_encoder import make_encoder_folder
from tools import (
    build_release,
    check_l2_norms,
    compare_metrics,
    compare_rerank,
    ivf_vs_flat_check,
    make_query_set,
    nightly_eval,
    nprobe_sweep,
    rebuild_flat_truth,
    run_clean_eval,
)

ROOT = Path(__file__).parents[2]
ARTICLE_COUNT = 40
PARAGRAPH_COUNT = 8


def _run(app: typer.Typer, *arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def _rows() -> list[dict[str, Any]]:
    generator = np.random.default_rng(3)
    letters = list("abcdefghijklmnopqrstuvwxyz")

    def word() -> str:
        return "".join(generator.choice(letters, 4))

    rows = []
    for article in range(ARTICLE_COUNT):
        theme = [word() for _ in range(8)]
        for position in range(PARAGRAPH_COUNT):
            own = [word() for _ in range(8)]
            text = " ".join([*generator.permutation(theme), *own]) + "."
            rows.append(
                {
                    "article_id": article,
                    "article": f"Title {article}",
                    "lane": "even" if article % 2 == 0 else "odd",
                    "position": position,
                    "text": text,
                    "questions": [" ".join(own[:3]) + "?"],
                }
            )
    return rows


@dataclass(frozen=True)
class World:
    """Folders of one small release with its query sets and its record of training."""

    folder: Path

    @property
    def release(self) -> Path:
        return self.folder / "releases" / "small"

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus.jsonl"

    def evaluate(self, out: Path, *more: object) -> tuple[int, str, str]:
        return _run(
            run_clean_eval.app,
            *("--release", self.release, "--out", out, "--resamples", 200),
            *("--query-set", self.folder / "questions", "--query-set", self.folder / "windows"),
            *("--training-record", self.folder / "record"),
            *more,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("evaluation"))
    lines = "".join(json.dumps(row) + "\n" for row in _rows())
    made.corpus.write_text(lines)
    encoder = make_encoder_folder(made.folder / "encoder")
    releases = made.folder / "releases"
    status, _, error = _run(
        build_release.app,
        *("--corpus", made.corpus, "--name", "small", "--releases", releases),
        *("--encoder", encoder, "--workers", 1, "--nprobe", 10_000),
        *("--max-tokens", 60, "--json"),
    )
    assert status == 0, error
    record = made.folder / "record"
    asked = ("--corpus", made.corpus, "--release", made.release, "--training-record", record)
    for arguments in (
        ("training-record", "--corpus", made.corpus, "--out", record),
        ("questions", *asked, "--out", made.folder / "questions"),
        ("windows", *asked, "--out", made.folder / "windows"),
    ):
        status, _, error = _run(make_query_set.app, *arguments)
        assert status == 0, error
    return made


def test_an_evaluation_reports_every_measure_of_every_stage(world: World, tmp_path: Path) -> None:
    out = tmp_path / "new" / "nightly.json"
    status, printed, _ = world.evaluate(out, "--json")
    report = json.loads(printed)
    assert out.read_text() == printed
    assert status in {0, 1, 4}
    assert (report["verdict"] == "PASS") == (status == 0)
    assert [each["task"] for each in report["query_sets"]] == ["question", "next_passage"]
    for each in report["query_sets"]:
        assert set(each["stages"]) == {"flat", "search"}  # no reranker fits this encoder
        assert set(each["stages"]["search"]) >= {"R@1", "R@50", "MRR@10", "nDCG@10", "Contain@20"}
        assert each["agreement"]["mean"] == 1.0  # nprobe is all lists
        assert each["differences"]["index"]["R@5"]["mean"] == 0.0
        lanes = each["lanes"]
        assert set(lanes) == {"even", "odd"}
        whole = sum(
            lane["query_count"] * lane["stages"]["search"]["R@5"]["mean"] for lane in lanes.values()
        )
        mean = each["stages"]["search"]["R@5"]["mean"]
        assert whole / each["query_count"] == pytest.approx(mean, abs=1e-5)
        for measure in each["stages"]["search"].values():
            assert measure["low"] <= measure["mean"] <= measure["high"]
    gates = {gate["name"]: gate["verdict"] for gate in report["gates"]}
    assert gates == {"passage norms": "PASS", "clean": "PASS"}


def test_figures_are_what_plain_arithmetic_gives(world: World, tmp_path: Path) -> None:
    """FLAT, its exclusions and R@5, against NumPy."""
    release = open_release(world.release)
    passages = ReleasePassages.open(release)
    asker = InProcess.load(release, passages, Options(query_model="last"))
    query_set = read_query_set(world.folder / "windows")
    asked = asker.ask(query_set)
    vectors = read_index(release.path(FLAT_INDEX_NAME)).vectors()
    found = []
    for outcome in asked.outcomes:
        context = [item.passage_id for item in outcome.query.context]
        scores = vectors @ vectors[passages.rows[context[-1]]]
        scores[passages.rows_of(context)] = -2.0
        best = passages.ids[np.argsort(-scores, kind="stable")[:5]].tolist()
        found.append(outcome.query.gold_ids[0] in best)
        assert not set(context) & set(outcome.flat.ids)
        assert set(outcome.flat.ids[:5]) == set(best)
    out = tmp_path / "r.json"
    world.evaluate(out, "--query-model", "last")
    stages = json.loads(out.read_text())["query_sets"][1]["stages"]
    assert stages["flat"]["R@5"]["mean"] == pytest.approx(np.mean(found), abs=1e-6)


def test_a_rebuilt_truth_takes_the_place_of_the_index(world: World, tmp_path: Path) -> None:
    truth = tmp_path / "p_flat_ip.faiss"
    status, printed, _ = _run(
        rebuild_flat_truth.app,
        *("--corpus", world.release, "--out", truth, "--export", tmp_path / "current.npz"),
        "--json",
    )
    assert (status, json.loads(printed)["matches_release"]) == (0, True)
    _, served, _ = world.evaluate(tmp_path / "a.json", "--json")
    _, exact, _ = world.evaluate(tmp_path / "b.json", "--index", truth, "--json")
    assert json.loads(exact)["subject"]["index"] == truth.name
    assert [each["stages"] for each in json.loads(exact)["query_sets"]] == [
        each["stages"] for each in json.loads(served)["query_sets"]
    ]


def test_hits_and_history_are_kept(world: World, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    out = tmp_path / "nightly.json"
    for _ in range(2):
        world.evaluate(out, "--history", history)
    assert len(history.read_text().splitlines()) == 2
    hits = read_hits(tmp_path / "nightly_hits50_baseline.jsonl")
    assert {each.task for each in hits} == {"question", "next_passage"}
    assert all(len(each.ids) == 50 for each in hits)
    stated = json.loads(out.read_text())["subject"]["hits"]["search"]["file"]
    assert stated == "nightly_hits50_baseline.jsonl"
    status, printed, _ = _run(
        compare_metrics.app, "--before", out, "--after", out, "--json", "--resamples", 200
    )
    comparison = json.loads(printed)
    assert (status, comparison["decision"]) == (0, "go on")
    assert all(each["is_paired"] for each in comparison["query_sets"])
    baseline = tmp_path / "nightly_hits50_baseline.jsonl"
    status, printed, _ = _run(
        compare_rerank.app, "--hits", baseline, "--reranked", baseline, "--json"
    )
    assert (status, json.loads(printed)["verdict"]) == (1, "FAIL")


def test_a_table_is_shown_without_json(world: World, tmp_path: Path) -> None:
    _, printed, _ = world.evaluate(tmp_path / "r.json", "--history", tmp_path / "h.jsonl")
    for word in ("Contain@50", "IVF-FLAT agreement", "verdict: ", "history of windows"):
        assert word in printed


@pytest.mark.parametrize("is_more", [False, True])
def test_an_evaluation_on_trained_articles_is_refused(
    world: World, tmp_path: Path, is_more: bool
) -> None:
    record = tmp_path / "record"
    trained = ("--more", world.corpus) if is_more else ("--part", "all")
    _run(
        make_query_set.app,
        *("training-record", "--corpus", world.corpus, *trained, "--out", record),
    )
    out = tmp_path / "r.json"
    status, _, error = world.evaluate(out, "--training-record", record)
    assert status == 2
    assert "with training" in error
    assert not out.exists()


def test_trained_texts_under_other_titles_are_refused(world: World, tmp_path: Path) -> None:
    record = make_training_record("texts alone", [], [row["text"] for row in _rows()])
    write_training_record(record, tmp_path / "record")
    status, _, error = world.evaluate(tmp_path / "r.json", "--training-record", tmp_path / "record")
    assert status == 2
    assert "texts with training" in error


def test_not_knowing_what_was_trained_on_is_no_pass(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, printed, _ = _run(
        run_clean_eval.app,
        *("--release", world.release, "--query-set", world.folder / "questions", "--json"),
    )
    report = json.loads(printed)
    assert {gate["name"]: gate["verdict"] for gate in report["gates"]}["clean"] == "INCONCLUSIVE"
    assert status in {1, 4}


def test_a_release_without_query_sets_is_asked_about_its_own_passages(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ("--release", world.release, "--training-record", world.folder / "record")
    status, printed, error = _run(run_clean_eval.app, *asked, "--json", "--resamples", 200)
    report = json.loads(printed)
    assert status in {0, 1, 4}
    assert "tools/make_query_set.py makes better ones" in error
    tasks = {each["name"]: each["task"] for each in report["query_sets"]}
    assert tasks == {"own_next_passages": "next_passage", "own_known_items": "question"}
    assert {gate["name"]: gate["verdict"] for gate in report["gates"]}["clean"] == "PASS"
    folders = sorted((tmp_path / "artifacts" / "eval" / "querysets").iterdir())
    assert len(folders) == 2
    _, again, silent = _run(run_clean_eval.app, *asked, "--json", "--resamples", 200)
    assert json.loads(again)["query_sets"] == json.loads(printed)["query_sets"][::-1]
    assert "better ones" not in silent


def test_a_night_leaves_report_history_picture_and_metrics(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = (
        *("--release", world.release, "--query-set", world.folder / "windows"),
        *("--training-record", world.folder / "record", "--resamples", 200),
    )
    first, _, _ = _run(nightly_eval.app, *asked)
    second, printed, error = _run(nightly_eval.app, *asked, "--json")
    summary = json.loads(printed)
    folder = tmp_path / "artifacts" / "eval"
    assert first == second
    assert {0: "PASS", 1: "FAIL", 4: "INCONCLUSIVE"}[second] == summary["verdict"]
    assert len((folder / "history.jsonl").read_text().splitlines()) == 2
    assert (folder / "history.png").read_bytes().startswith(b"\x89PNG")
    assert "windows" in (folder / "quality.prom").read_text()
    assert Path(summary["out"]).parent == Path("artifacts/eval")
    better = json.loads((tmp_path / summary["out"]).read_text())
    for stage in better["query_sets"][0]["stages"].values():
        stage["R@5"]["mean"] += 0.2
    (folder / "baseline_metrics.json").write_text(json.dumps(better))
    fallen, printed, error = _run(nightly_eval.app, *asked, "--json")
    assert (fallen, json.loads(printed)["alerts"][0]["severity"]) == (1, "critical")
    assert "fell by 20.0 pp since the baseline" in error


def test_an_altered_query_set_is_refused(world: World, tmp_path: Path) -> None:
    copy = tmp_path / "set"
    copy.mkdir()
    for path in (world.folder / "questions").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    queries = copy / "queries.jsonl"
    queries.write_text(queries.read_text().replace('"gold_ids": [', '"gold_ids": [1, '))
    status, _, error = _run(run_clean_eval.app, "--release", world.release, "--query-set", copy)
    assert (status, "queries.jsonl" in error) == (1, True)


def test_no_server_is_told_apart(world: World, tmp_path: Path) -> None:
    status, _, error = world.evaluate(tmp_path / "r.json", "--address", "127.0.0.1:9")
    assert (status, "127.0.0.1:9" in error) == (3, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--release", "no-such-release"),
        ("--chart", "x.png"),
        ("--query-model", "unheard-of"),
        ("--no-such-option",),
    ],
)
def test_wrong_usage_is_told_apart(
    world: World, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    status, _, _ = world.evaluate(tmp_path / "r.json", *arguments)
    assert status == 2


def test_norms_are_checked_of_release_encoder_and_files(world: World, tmp_path: Path) -> None:
    status, printed, _ = _run(check_l2_norms.app, "--release", world.release, "--json")
    names = [source["source"] for source in json.loads(printed)["sources"]]
    assert status == 0
    assert names[:3] == ["p_flat_ip.faiss", "p_ivf.faiss", "queries of texts"]
    bad = tmp_path / "bad.npy"
    np.save(bad, np.full((3, 768), 0.1, np.float32))
    status, printed, _ = _run(check_l2_norms.app, "--vectors", bad)
    assert (status, "FAIL" in printed) == (1, True)


def test_a_sweep_writes_report_and_operating_point(world: World, tmp_path: Path) -> None:
    flat, ivf = world.release / "p_flat_ip.faiss", world.release / "p_ivf.faiss"
    status, _, error = _run(
        nprobe_sweep.app,
        *("--index", ivf, "--flat", flat, "--nprobe-values", "1,1000", "--n-queries", 50),
        *("--out", tmp_path / "tuning" / "sweep.json", "--target-ms", 1000),
        *("--query-set", world.folder / "windows", "--write-operating-point"),
    )
    assert status == 0, error
    sweep = json.loads((tmp_path / "tuning" / "sweep.json").read_text())
    written = world.folder / "releases" / "small.operating_point.json"
    point = json.loads(written.read_text())
    world.evaluate(tmp_path / "r.json")
    written.unlink()
    assert sweep["picked"] == point["nprobe"]
    assert sweep["gold"] == "the relevant passages of the query set"
    assert json.loads((tmp_path / "r.json").read_text())["subject"]["nprobe"] == point["nprobe"]
    open_release(world.release).verify()


def test_a_sweep_of_nonsense_is_refused(world: World) -> None:
    flat, ivf = world.release / "p_flat_ip.faiss", world.release / "p_ivf.faiss"
    for values in ("", "4,x", "0"):
        status, _, error = _run(
            nprobe_sweep.app, "--index", ivf, "--flat", flat, "--nprobe-values", values
        )
        assert (status, "--nprobe-values" in error) == (2, True)


@pytest.mark.slow
def test_the_checklists_line_runs_from_the_root(world: World) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "tools/ivf_vs_flat_check.py", "--n", "100", "--k", "10"),
            *("--flat", str(world.release / "p_flat_ip.faiss")),
            *("--ivf", str(world.release / "p_ivf.faiss")),
        ],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "verdict: PASS" in done.stdout


def test_an_index_that_disagrees_fails(world: World) -> None:
    flat, ivf = world.release / "p_flat_ip.faiss", world.release / "p_ivf.faiss"
    status, printed, _ = _run(
        ivf_vs_flat_check.app,
        *("--n", 100, "--flat", flat, "--ivf", ivf, "--nprobe", 1, "--threshold", 1.0, "--json"),
    )
    report = json.loads(printed)
    assert report["gate"]["figure"] < 1.0
    assert (status, report["gate"]["verdict"]) == (1, "FAIL")


def test_a_corpus_of_paragraphs_keeps_each_whole(world: World, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl.gz"
    status, printed, _ = _run(
        make_query_set.app, "paragraphs", "--corpus", world.corpus, "--out", whole, "--json"
    )
    assert status == 0
    assert json.loads(printed)["paragraphs"] == ARTICLE_COUNT * PARAGRAPH_COUNT


def test_comparisons_and_truths_are_shown_as_tables(world: World, tmp_path: Path) -> None:
    out, truth = tmp_path / "r.json", tmp_path / "t.faiss"
    world.evaluate(out)
    hits = tmp_path / "r_hits50_baseline.jsonl"
    _, metrics, _ = _run(compare_metrics.app, "--before", out, "--after", out)
    assert "decision: go on" in metrics
    assert "same queries, paired" in metrics
    _, rerank, _ = _run(compare_rerank.app, "--hits", hits, "--reranked", hits)
    assert "not helping" in rerank
    _, written, _ = _run(rebuild_flat_truth.app, "--corpus", world.release, "--out", truth)
    assert "the same" in written
    status, _, error = _run(rebuild_flat_truth.app, "--corpus", world.release, "--out", truth)
    assert (status, "never overwritten" in error) == (2, True)


def test_a_missing_matplotlib_is_told_before_any_work(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "can_draw", lambda: False)
    history, chart = tmp_path / "h.jsonl", tmp_path / "c.png"
    status, _, error = world.evaluate(tmp_path / "r.json", "--history", history, "--chart", chart)
    assert (status, "retrieval-stack[eval]" in error) == (2, True)
    assert not history.exists()


def test_without_matplotlib_the_history_is_kept_and_the_picture_missed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show_trend, "can_draw", lambda: False)
    history = tmp_path / "h.jsonl"
    _, _, error = world.evaluate(tmp_path / "r.json", "--history", history)
    assert "matplotlib is not installed" in error
    assert history.exists()
    assert not history.with_suffix(".png").exists()
