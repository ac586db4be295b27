"""The encode commands as an operator runs them: outputs, exit codes, kill and resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_encoder import WORDS, write_tiny_folder

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_folder(tmp_path_factory.mktemp("m") / "model")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    generator = np.random.default_rng(0)
    lines = [" ".join(generator.choice(WORDS, 1 + row % 30)) for row in range(600)]
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return path


def command(tool: str, arguments: Sequence[object]) -> list[str]:
    return [sys.executable, str(ROOT / "tools" / tool), *map(str, arguments)]


def run(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(tool, arguments), capture_output=True, text=True, timeout=100, check=False
    )


def test_encode_writes_a_row_a_line(model: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.npy"
    done = run("encode.py", "--model", model, "--input", texts, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    vectors = np.load(out)
    assert vectors.shape == (600, 768)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert summary["rows"] == 600
    assert summary["precision"] == "int8"
    assert "encoding" in done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"txt": 1}', "line 601: text is missing"), ("{", "line 601: is not JSON")],
)
def test_encode_names_a_bad_line_and_writes_nothing(
    model: Path, texts: Path, tmp_path: Path, line: str, message: str
) -> None:
    texts.write_text(texts.read_text() + line + "\n")
    out = tmp_path / "out" / "v.npy"
    out.parent.mkdir()
    done = run("encode.py", "--model", model, "--input", texts, "--out", out)
    assert done.returncode == 2
    assert message in done.stderr
    assert list(out.parent.iterdir()) == []


def test_encode_tells_usage_from_damage(texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.npy"
    assert run("encode.py", "--input", texts).returncode == 2
    absent = run("encode.py", "--model", tmp_path / "no", "--input", texts, "--out", out)
    assert absent.returncode == 2
    assert "no such model folder" in absent.stderr
    damaged = write_tiny_folder(tmp_path / "damaged")
    (damaged / "model.onnx").write_bytes(b"")
    done = run("encode.py", "--model", damaged, "--input", texts, "--out", out)
    assert done.returncode == 1
    assert "model.onnx: has 0 bytes" in done.stderr
    assert not out.exists()


def corpus_arguments(model: Path, texts: Path, folder: Path) -> list[object]:
    return [
        *("--model", model, "--input", texts, "--folder", folder),
        *("--partitions", PARTITIONS, "--workers", 2),
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_killed_anywhere_and_run_again_the_bytes_are_the_same(
    model: Path, texts: Path, tmp_path: Path
) -> None:
    clean, killed = tmp_path / "clean", tmp_path / "killed"
    done = run("encode_corpus.py", *corpus_arguments(model, texts, clean), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 600
    for wanted in (1, 4):
        kill_after(
            command("encode_corpus.py", corpus_arguments(model, texts, killed)), killed, wanted
        )
        if not (killed / "vectors-00005-of-00006.json").exists():
            # What a writer leaves that is killed in the middle of a file.
            (killed / ".vectors-00005-of-00006.npy.partial").write_bytes(b"half")
    again = run("encode_corpus.py", *corpus_arguments(model, texts, killed), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["skipped"] >= 1
    assert contents(killed) == contents(clean)


def kill_after(arguments: Sequence[str], folder: Path, wanted: int) -> None:
    """Start the command in a group of its own and kill the group once `wanted` files are there."""
    process = subprocess.Popen(
        arguments, start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    give_up = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < give_up:
        if len(list(folder.glob("vectors-*"))) >= wanted:
            break
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def test_one_partition_can_be_asked_for_and_all_joined(
    model: Path, texts: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "parts", tmp_path / "all.npy"
    base = ["--model", model, "--input", texts, "--folder", folder]
    one = run("encode_corpus.py", *base, "--partition", "1/2", "--out", out)
    assert one.returncode == 1
    assert "partition 0 of 2 is not done" in one.stderr
    done = run("encode_corpus.py", *base, "--partitions", 2, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["skipped"] == 1
    assert np.load(out).shape == (600, 768)
    assert run("encode_corpus.py", *base, "--partition", "2/2").returncode == 2
    assert run("encode_corpus.py", *base, "--partition", "x").returncode == 2


def test_ray_writes_the_same_bytes_or_says_how_to_get_it(
    model: Path, texts: Path, tmp_path: Path
) -> None:
    by_ray = tmp_path / "ray"
    arguments = [*corpus_arguments(model, texts, by_ray), "--engine", "ray"]
    done = run("encode_corpus.py", *arguments)
    if find_spec("ray") is None:
        assert done.returncode == 2
        assert "pip install 'ray" in done.stderr
        assert not by_ray.exists() or not contents(by_ray)
        return
    assert done.returncode == 0, done.stderr
    local = tmp_path / "local"
    assert run("encode_corpus.py", *corpus_arguments(model, texts, local)).returncode == 0
    assert contents(by_ray) == contents(local)
