"""Pointers move in one step, only to verified releases, and survive being killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from releases.bundle import open_release
from releases.pointers import CURRENT, PREVIOUS, read_pointer, switch_back, switch_current
from retrieval_core.errors import DamagedArtifact, FailedPrecondition, InvalidInput, NotFound
from tests.unit.releases.release_files import make_release, overwrite


def test_switching_keeps_the_way_back(tmp_path: Path) -> None:
    make_release(tmp_path, "one")
    make_release(tmp_path, "two")
    assert read_pointer(tmp_path, CURRENT) is None
    switch_current(tmp_path, "one")
    assert (read_pointer(tmp_path, CURRENT), read_pointer(tmp_path, PREVIOUS)) == ("one", None)
    switch_current(tmp_path, "two")
    assert (read_pointer(tmp_path, CURRENT), read_pointer(tmp_path, PREVIOUS)) == ("two", "one")
    switch_current(tmp_path, "two")
    assert read_pointer(tmp_path, PREVIOUS) == "one"
    assert switch_back(tmp_path).release_id == "one"
    assert (read_pointer(tmp_path, CURRENT), read_pointer(tmp_path, PREVIOUS)) == ("one", "two")
    assert (tmp_path / CURRENT).readlink() == Path("one")


def test_a_damaged_release_never_becomes_current(tmp_path: Path) -> None:
    make_release(tmp_path, "one")
    switch_current(tmp_path, "one")
    overwrite(make_release(tmp_path, "two").folder / "p_ivf.faiss", b"other")
    with pytest.raises(DamagedArtifact):
        switch_current(tmp_path, "two")
    assert read_pointer(tmp_path, CURRENT) == "one"


def test_a_switch_that_was_interrupted_is_not_taken_for_a_way_back(tmp_path: Path) -> None:
    make_release(tmp_path, "one")
    make_release(tmp_path, "two")
    switch_current(tmp_path, "one")
    (tmp_path / PREVIOUS).symlink_to("one")
    with pytest.raises(FailedPrecondition, match="name the release to go to"):
        switch_back(tmp_path)
    switch_current(tmp_path, "two")
    assert switch_back(tmp_path).release_id == "one"


def test_the_vectors_of_the_corpus_follow_the_pointer(tmp_path: Path) -> None:
    releases, corpus = tmp_path / "releases", tmp_path / "corpus"
    releases.mkdir()
    corpus.mkdir()
    for name in ("one", "two", "bare"):
        make_release(releases, name)
    (corpus / "one.npz").write_bytes(b"1")
    (corpus / "two.npz").write_bytes(b"2")
    switch_current(releases, "one")
    assert (corpus / "current.npz").read_bytes() == b"1"
    switch_current(releases, "two")
    assert (corpus / "current.npz").readlink() == Path("two.npz")
    switch_current(releases, "bare")
    assert not (corpus / "current.npz").is_symlink()
    switch_back(releases)
    assert (corpus / "current.npz").read_bytes() == b"2"


def test_unknown_and_reserved_names_are_refused(tmp_path: Path) -> None:
    make_release(tmp_path, "one")
    with pytest.raises(NotFound):
        switch_current(tmp_path, "two")
    with pytest.raises(InvalidInput):
        switch_current(tmp_path, CURRENT)
    with pytest.raises(NotFound, match="no previous"):
        switch_back(tmp_path)


def test_pointers_that_are_none_of_ours_are_refused(tmp_path: Path) -> None:
    (tmp_path / CURRENT).mkdir()
    with pytest.raises(DamagedArtifact, match="not a symbolic link"):
        read_pointer(tmp_path, CURRENT)
    (tmp_path / PREVIOUS).symlink_to("../elsewhere")
    with pytest.raises(DamagedArtifact, match="beside it"):
        read_pointer(tmp_path, PREVIOUS)


SWITCHER = """
import itertools, sys
from pathlib import Path
from releases.pointers import switch_current
folder = Path(sys.argv[1])
print("ready", flush=True)
for name in itertools.cycle(["one", "two"]):
    switch_current(folder, name)
    print(name, flush=True)
"""


def test_a_kill_at_any_moment_leaves_valid_pointers(tmp_path: Path) -> None:
    make_release(tmp_path, "one")
    make_release(tmp_path, "two")
    switch_current(tmp_path, "one")
    switch_current(tmp_path, "two")
    for switches_before_kill in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", SWITCHER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(switches_before_kill + 1):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            process.wait()
        for pointer in (CURRENT, PREVIOUS):
            assert read_pointer(tmp_path, pointer) in ("one", "two")
            open_release(tmp_path / pointer).verify()
    switch_current(tmp_path, "one")
    assert [entry.name for entry in tmp_path.glob(".pointer-*")] == []


@pytest.mark.parametrize("step", range(1, 9))
def test_a_switch_that_stops_at_any_step_leaves_valid_pointers(tmp_path: Path, step: int) -> None:
    """The process dies right before its n-th change of the folder; nothing random about it."""
    # A folder with nothing beside it: vectors of the corpus there would follow the pointer.
    releases = tmp_path / "releases"
    releases.mkdir()
    make_release(releases, "one")
    make_release(releases, "two")
    switch_current(releases, "one")
    script = f"""
import os, sys
from pathlib import Path
count = 0
def stop(event, arguments):
    global count
    if event in ("os.symlink", "os.rename", "os.remove"):
        count += 1
        if count == {step}:
            os.kill(os.getpid(), 9)
sys.addaudithook(stop)
from releases.pointers import switch_current
switch_current(Path(sys.argv[1]), "two")
"""
    # -B: writing a compiled module renames a file too.
    done = subprocess.run([sys.executable, "-B", "-c", script, str(releases)], check=False)
    assert done.returncode == (-signal.SIGKILL if step <= 4 else 0)
    assert read_pointer(releases, CURRENT) == ("one" if step <= 4 else "two")
    assert read_pointer(releases, PREVIOUS) in (None, "one")
    open_release(releases / CURRENT).verify()
    switch_current(releases, "two")
    assert (read_pointer(releases, CURRENT), read_pointer(releases, PREVIOUS)) == ("two", "one")
