"""The release command as an operator gives it, on releases with real indexes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from releases.bundle import open_release
from releases.catalog import release_names
from releases.pointers import CURRENT, PREVIOUS, read_pointer
from releases.serving import is_being_served
from tests.support.server_process import server_process
from tests.support.tiny_release import build_tiny_release, tiny_corpus
from tools.release import app

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """What a command printed, and where."""

    stdout: str
    stderr: str


def _run(arguments: list[object], code: int = 0) -> Done:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == code, done.stdout + done.stderr
    return Done(done.stdout, done.stderr)


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """v-1 and retriever_v0, of other corpora."""
    folder = tmp_path / "releases"
    build_tiny_release(folder, name="v-1", corpus=tiny_corpus(120))
    build_tiny_release(folder, name="retriever_v0", corpus=tiny_corpus(160, seed=4), shard_count=2)
    return folder


def _ask(releases: Path, *arguments: object, code: int = 0) -> dict[str, Any]:
    done = _run([*arguments, "--releases", releases, "--json"], code)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_promote_and_roll_back_move_pointers_and_the_corpus(releases: Path) -> None:
    assert _ask(releases, "promote", "v-1")["pointers"] == ["current"]
    assert _ask(releases, "promote", "retriever_v0")["pointers"] == ["current"]
    corpus = releases.parent / "corpus" / "current.npz"
    with np.load(corpus, allow_pickle=False) as arrays:
        assert (arrays["vectors"].shape, arrays["passage_ids"].shape) == ((160, 768), (160,))
    assert _ask(releases, "rollback")["name"] == "v-1"
    assert read_pointer(releases, PREVIOUS) == "retriever_v0"
    with np.load(corpus, allow_pickle=False) as arrays:
        assert len(arrays["vectors"]) == 120
    assert _ask(releases, "rollback", "retriever_v0")["pointers"] == ["current"]
    assert "no release 'gone'" in _run(["promote", "gone", "--releases", releases], 2).stderr


def test_verify_names_every_bad_file(releases: Path) -> None:
    assert _ask(releases, "verify", "all")["verified"]
    victim = releases / "retriever_v0" / "shards" / "1" / "p_ivf.faiss"
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-7])
    found = _ask(releases, "verify", "all", code=1)
    (problem,) = found["releases"]["retriever_v0"]
    assert problem["file"] == "shards/1/p_ivf.faiss"
    assert found["releases"]["v-1"] == []
    shown = _run(["verify", "retriever_v0", "--releases", releases], 1).stdout
    assert "shards/1/p_ivf.faiss: has " in shown
    refused = _run(["promote", "retriever_v0", "--releases", releases], 1)
    assert "p_ivf.faiss" in refused.stderr
    assert read_pointer(releases, CURRENT) is None


def test_what_is_served_is_listed_and_not_removed(releases: Path) -> None:
    _run(["promote", "v-1", "--releases", releases])
    settings = {"INDEX_PORT": "0", "INDEX_RELEASE": str(releases / "retriever_v0")}
    with server_process("index_svc", settings) as server:
        server.wait_serving()
        listed = {each["name"]: each for each in _ask(releases, "list")["releases"]}
        assert listed["retriever_v0"]["is_served"]
        assert not listed["v-1"]["is_served"]
        kept = _ask(releases, "gc", "--keep", 0, "--apply")
        assert {each["name"]: each["kept_because"] for each in kept["releases"]} == {
            "v-1": "is `current`",
            "retriever_v0": "is served by a process",
        }
        assert release_names(releases) == ["retriever_v0", "v-1"]
        server.terminate()
        assert server.wait_exit() == 0
    assert not is_being_served(releases, "retriever_v0")
    would = _ask(releases, "gc", "--keep", 0)
    assert [each["name"] for each in would["releases"] if not each["kept_because"]] == [
        "retriever_v0"
    ]
    assert "retriever_v0" in release_names(releases)
    _run(["gc", "--keep", 0, "--apply", "--releases", releases])
    assert release_names(releases) == ["v-1"]


def test_seal_diff_show_push_and_pull(releases: Path, tmp_path: Path) -> None:
    sealed = _ask(releases, "seal", "v1", "--from", "v-1", "--nprobe", 2)
    assert (sealed["name"], sealed["nprobe"]) == ("v1", 2)
    found = _ask(releases, "diff", "v-1", "v1")
    assert {each["name"]: each["after"] for each in found["facts"]}["nprobe"] == 2
    assert "retriever_v0" in _run(["diff", "v-1", "retriever_v0", "--releases", releases]).stdout
    shown = _ask(releases, "show", "v1")
    assert shown["manifest"]["passage_count"] == 120
    assert "p_ivf.faiss" in _run(["show", "v1", "--releases", releases]).stdout
    _run(["push", "v1", tmp_path / "store", "--releases", releases])
    there = tmp_path / "there"
    assert _ask(there, "pull", "v1", tmp_path / "store")["present"] == []
    assert open_release(there / "v1").manifest == open_release(releases / "v1").manifest
    assert "(there: v1)" in _run(["pull", "v2", tmp_path / "store", "--releases", there], 2).stderr


def test_the_script_itself_runs_from_anywhere(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "release.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        cwd=tmp_path,
    ).stdout
    for name in ("list", "show", "verify", "seal", "promote", "rollback", "diff", "gc", "push"):
        assert f" {name} " in shown
    _run(["no-such-command"], 2)
