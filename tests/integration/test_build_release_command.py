"""The build command as an operator gives it: every input, repeated, stopped, and misused."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from releases.bundle import Release, open_release
from releases.catalog import release_names
from releases.checksums import read_checksums
from releases.passages import open_passages
from releases.pointers import CURRENT, PREVIOUS, read_pointer
from retrieval_core.projection import projection_digest, projection_matrix
from tests.support.query_model_files import write_query_model
from tests.unit.building.tiny_encoder import make_encoder_folder
from tools.build_release import app

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "tools" / "build_release.py")]
NAMED_AFTER_RELEASE = {"VERSION", "manifest.json"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 paragraphs of 6 articles, in the columns of the paragraphs file and two of others."""
    path = tmp_path_factory.mktemp("corpus") / "paragraphs.jsonl.gz"
    rows = [
        {
            "article_id": row // 20,
            "article": f"Title {row // 20}",
            "position": row % 20,
            "text": f"Paragraph {row} is about topic{row * 7 % 13}. It goes on with item{row}.",
            "questions": ["Why?"],
        }
        for row in range(120)
    ]
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def _run(
    arguments: Sequence[object], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=ROOT,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000", **(environment or {})},
    )


def _arguments(corpus: Path, encoder: Path, releases: Path, name: str = "one") -> list[object]:
    return [
        *("--corpus", corpus, "--name", name, "--encoder", encoder, "--releases", releases),
        *("--max-tokens", 40),
    ]


def _build(arguments: Sequence[object]) -> dict[str, Any]:
    done = _run([*arguments, "--json"])
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def _digests(folder: Path) -> dict[str, str]:
    """Of all files but those that name the release."""
    digests = read_checksums(folder)
    return {name: digests[name] for name in digests if name not in NAMED_AFTER_RELEASE}


def _check_with_sha256sum(folder: Path) -> None:
    tool = shutil.which("sha256sum")
    assert tool, "coreutils is needed"
    subprocess.run(
        [tool, "--strict", "--quiet", "-c", "checksums.txt"], cwd=folder, check=True, timeout=60
    )


def _check_shards(release: Release) -> None:
    """Every passage is in the one shard that its id says, with the vector of the whole index."""
    manifest = release.manifest
    whole = open_passages(release.path("passages.arrow")).to_pylist()
    truth = faiss.read_index(str(release.path("p_flat_ip.faiss")))
    assert truth.ntotal == len(whole) == manifest.passage_count
    row_of = {passage["passage_id"]: row for row, passage in enumerate(whole)}
    found = []
    for shard in range(manifest.shard_count):
        files = release.shard_files(shard)
        rows = open_passages(files.passages).to_pylist()
        index = faiss.read_index(str(files.index))
        assert isinstance(index, faiss.IndexIVFFlat)
        projections = np.load(files.projections)
        assert index.ntotal == len(rows) == len(projections)
        assert index.nlist == manifest.nlist
        index.make_direct_map()
        for row, passage in enumerate(rows):
            assert passage["passage_id"] % manifest.shard_count == shard
            vector = index.reconstruct(row)
            np.testing.assert_array_equal(vector, truth.reconstruct(row_of[passage["passage_id"]]))
            expected = vector @ projection_matrix()
            np.testing.assert_allclose(projections[row], expected, atol=2e-3)
        found += rows
    assert sorted(found, key=lambda passage: passage["passage_id"]) == sorted(
        whole, key=lambda passage: passage["passage_id"]
    )


@pytest.mark.parametrize("shards", [1, 3])
def test_a_release_of_paragraphs_is_whole(
    tmp_path: Path, corpus: Path, encoder: Path, shards: int
) -> None:
    summary = _build([*_arguments(corpus, encoder, tmp_path), "--shards", shards])
    assert summary["status"] == "built"
    assert summary["passage_count"] == 240
    assert (summary["article_count"], summary["lanes"]) == (6, ["default"])
    assert summary["gates"]["unit_norm"]["passed"]
    release = open_release(tmp_path / CURRENT)
    release.verify()
    _check_with_sha256sum(release.folder)
    _check_shards(release)
    assert (release.folder / "VERSION").read_text() == "one\n"
    assert release.manifest.created == "2023-11-14T22:13:20Z"
    passages = open_passages(release.path("passages.arrow")).to_pylist()
    assert passages[41] == {
        "passage_id": 41,
        "article_id": "1",
        "position": 1,
        "lane": "default",
        "text": "It goes on with item20.",
    }


def test_parquet_and_lines_of_the_same_rows_give_the_same_passages(
    tmp_path: Path, encoder: Path
) -> None:
    rows = [
        {"passage_id": 1000 - number, "text": f"Number {number}.", "lane": "ab"[number % 2]}
        for number in range(50)
    ]
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    table = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), table)
    found = []
    for name, path in (("lines", lines), ("table", table)):
        summary = _build([*_arguments(path, encoder, tmp_path / "r", name), "--shards", 2])
        assert summary["lanes"] == ["a", "b"]
        release = open_release(tmp_path / "r" / name)
        _check_shards(release)
        found.append(
            [
                {key: passage[key] for key in ("passage_id", "lane", "text", "position")}
                for passage in open_passages(release.path("passages.arrow")).to_pylist()
            ]
        )
    assert found[0] == found[1]
    assert [passage["passage_id"] for passage in found[0]] == [1000 - n for n in range(50)]


def test_a_folder_of_texts_is_built(tmp_path: Path, encoder: Path) -> None:
    folder = tmp_path / "texts"
    for name in ("guides/a.md", "api/b.rst", "c.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"Title\n=====\n\nText of {name}.\n", encoding="utf-8")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    done = _run([*_arguments(folder, encoder, tmp_path / "r"), "--json"])
    assert "note: files of other kinds, ignored: 1" in done.stderr
    summary = json.loads(done.stdout)
    assert summary["lanes"] == ["api", "default", "guides"]
    assert (summary["article_count"], summary["passage_count"]) == (3, 3)
    assert summary["nlist"] == summary["nprobe"] == 1


def test_two_builds_are_the_same_on_any_number_of_threads(
    tmp_path: Path, corpus: Path, encoder: Path
) -> None:
    options = ["--shards", 2, "--nlist", 9, "--no-activate"]
    _build([*_arguments(corpus, encoder, tmp_path, "one"), *options, "--workers", 1])
    _build([*_arguments(corpus, encoder, tmp_path, "two"), *options, "--workers", 4])
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")
    again = tmp_path / "elsewhere"
    _build([*_arguments(corpus, encoder, again, "one"), *options, "--workers", 2])
    assert (again / "one" / "checksums.txt").read_bytes() == (
        tmp_path / "one" / "checksums.txt"
    ).read_bytes()


def test_building_again_finds_the_release(tmp_path: Path, corpus: Path, encoder: Path) -> None:
    arguments = _arguments(corpus, encoder, tmp_path)
    _build([*arguments, "--no-activate"])
    assert read_pointer(tmp_path, CURRENT) is None
    before = (tmp_path / "one" / "manifest.json").stat()
    summary = _build(arguments)
    assert (summary["status"], summary["is_current"]) == ("already built", True)
    assert (tmp_path / "one" / "manifest.json").stat() == before
    other = _run([*arguments, "--seed", 5])
    assert other.returncode == 1
    assert "exists and was built from other inputs" in other.stderr
    (tmp_path / "one" / "p_ivf.faiss").write_bytes(b"damaged")
    damaged = _run(arguments)
    assert damaged.returncode == 1
    assert "p_ivf.faiss" in damaged.stderr


def test_activation_keeps_the_way_back(tmp_path: Path, corpus: Path, encoder: Path) -> None:
    for name in ("one", "two"):
        _build(_arguments(corpus, encoder, tmp_path, name))
    assert (read_pointer(tmp_path, CURRENT), read_pointer(tmp_path, PREVIOUS)) == ("two", "one")
    assert release_names(tmp_path) == ["one", "two"]


def test_results_go_to_stdout_and_progress_to_stderr(
    tmp_path: Path, corpus: Path, encoder: Path
) -> None:
    done = _run(_arguments(corpus, encoder, tmp_path))
    assert done.returncode == 0
    assert "240 of at most 40 tokens" in done.stdout
    stages = [line.split()[0] for line in done.stderr.splitlines()]
    assert stages == ["read", "cut", "encode", "index", "write", "seal"]
    assert "240 (" in done.stderr


KILLED = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT / "tools")!r})
import building.encoding
building.encoding.PARTITION_ROWS = 64
step, count = int(sys.argv.pop(1)), 0
def stop(event, arguments):
    global count
    if event == "os.rename":
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
import build_release
sys.addaudithook(stop)
build_release.app()
"""


def _run_killed(step: int, arguments: Sequence[object]) -> int:
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(step), *map(str, arguments)],
        capture_output=True,
        check=False,
        timeout=100,
        cwd=ROOT,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
    ).returncode


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, corpus: Path, encoder: Path
) -> dict[str, str]:
    releases = tmp_path_factory.mktemp("undisturbed")
    assert _run_killed(0, _arguments(corpus, encoder, releases)) == 0
    return read_checksums(releases / "one")


# 240 passages are 4 partitions with two renames each; then the release, then the pointer.
@pytest.mark.parametrize("step", [1, 4, 7, 9, 10])
def test_a_build_killed_at_any_step_goes_on_to_the_same_bytes(
    tmp_path: Path, corpus: Path, encoder: Path, undisturbed: dict[str, str], step: int
) -> None:
    arguments = [*_arguments(corpus, encoder, tmp_path), "--workers", 1]
    assert _run_killed(step, arguments) == -signal.SIGKILL
    assert release_names(tmp_path) == (["one"] if step == 10 else [])
    assert read_pointer(tmp_path, CURRENT) is None
    kept = len(list((tmp_path / ".work" / "one").glob("*.json")))
    assert kept == {1: 0, 4: 1, 7: 3, 9: 4, 10: 0}[step]
    assert _run_killed(0, arguments) == 0
    open_release(tmp_path / CURRENT).verify()
    assert read_checksums(tmp_path / "one") == undisturbed
    leftovers = {entry.name for entry in tmp_path.iterdir()}
    assert leftovers == {"one", "current", ".locks", ".work", ".pointers.lock"}
    assert list((tmp_path / ".work").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "../up"], "name: '../up'"),
        (["--name", "current"], "is a pointer"),
        (["--shards", 0], "--shards: is 0"),
        (["--nlist", 100_000], "--nlist: is 100000, but there are 240 passages"),
        (["--max-tokens", 64], "--max-tokens: is 64; this encoder reads at most 63"),
        (["--max-tokens", 2], "--max-tokens: is 2"),
        (["--nprobe", 0], "--nprobe: is 0"),
        (["--corpus", "absent"], "absent: does not exist"),
    ],
)
def test_options_out_of_range_are_bad_input(
    tmp_path: Path, corpus: Path, encoder: Path, options: list[object], message: str
) -> None:
    arguments = [str(item) for item in [*_arguments(corpus, encoder, tmp_path), *options]]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert release_names(tmp_path) == []


def test_bad_lines_are_bad_input_and_leave_nothing(tmp_path: Path, encoder: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"text": "fine"}\n{"text": 5}\n')
    done = _run(_arguments(path, encoder, tmp_path / "r"))
    assert done.returncode == 2
    assert "error: c.jsonl, line 2, field `text`: must be a string, is 5" in done.stderr
    assert "Traceback" not in done.stderr
    assert [entry.name for entry in (tmp_path / "r").iterdir() if entry.name[0] != "."] == []


def test_a_damaged_encoder_is_no_bad_input(tmp_path: Path, corpus: Path, encoder: Path) -> None:
    copy = shutil.copytree(encoder, tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"nothing")
    done = _run(_arguments(corpus, copy, tmp_path / "r"))
    assert done.returncode == 1
    assert "model.onnx" in done.stderr


def _make_reranker(folder: Path, encoder: Path) -> Path:
    fingerprint = json.loads((encoder / "manifest.json").read_text())["fingerprint"]
    folder.mkdir()
    graph = folder / "reranker_mlp_v0.onnx"
    graph.write_bytes(b"graph")
    manifest = {
        "format": "retrieval-reranker/1",
        "name": "reranker_mlp_v0",
        "encoder_fingerprint": fingerprint,
        "projection": {"digest": projection_digest(projection_matrix())},
        "files": {
            graph.name: {
                "sha256": "ffbbf9ab6c4a4d8d41e0a1e2a1e0ae5e0c8ea8b2f4ec1fdf5a25a4d5c1a8ef3d",
                "bytes": 5,
            }
        },
    }
    (folder / "reranker_mlp_v0.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_reranker_is_bundled_if_it_fits(tmp_path: Path, corpus: Path, encoder: Path) -> None:
    from retrieval_core.checksums import sha256_of_file

    folder = _make_reranker(tmp_path / "reranker", encoder)
    arguments = [*_arguments(corpus, encoder, tmp_path / "r"), "--reranker", folder]
    damaged = _run(arguments)
    assert damaged.returncode == 1
    assert "reranker_mlp_v0.onnx: is not the file" in damaged.stderr
    manifest = json.loads((folder / "reranker_mlp_v0.json").read_text())
    stated = manifest["files"]["reranker_mlp_v0.onnx"]
    stated["sha256"] = sha256_of_file(folder / "reranker_mlp_v0.onnx")
    (folder / "reranker_mlp_v0.json").write_text(json.dumps(manifest))
    summary = _build(arguments)
    assert summary["reranker"] == "reranker_mlp_v0"
    release = open_release(tmp_path / "r" / "one")
    release.verify(["reranker_mlp_v0.onnx", "reranker_mlp_v0.json"])
    manifest["encoder_fingerprint"] = "sha256:other"
    (folder / "reranker_mlp_v0.json").write_text(json.dumps(manifest))
    other = _run([*_arguments(corpus, encoder, tmp_path / "r", "two"), "--reranker", folder])
    assert other.returncode == 2
    assert "none that fits" in other.stderr


def test_query_models_are_bundled_if_they_fit(tmp_path: Path, corpus: Path, encoder: Path) -> None:
    fingerprint = json.loads((encoder / "manifest.json").read_text())["fingerprint"]
    write_query_model(tmp_path / "models", "gru_v0", fingerprint)
    write_query_model(tmp_path / "models", "amn_v0", "sha256:other")
    options = ["--query-models", tmp_path / "models"]
    summary = _build([*_arguments(corpus, encoder, tmp_path / "r"), *options])
    assert summary["query_models"] == ["gru_v0"]
    open_release(tmp_path / "r" / "one").verify(["gru_v0.onnx", "gru_v0.json"])
    (tmp_path / "models" / "gru_v0.json").unlink()
    other = _run([*_arguments(corpus, encoder, tmp_path / "r", "two"), *options])
    assert other.returncode == 2
    assert "--query-models" in other.stderr
    assert "none that fits" in other.stderr
