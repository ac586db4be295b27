"""Only what nobody needs is removed, and it is removed whole."""

import dataclasses
import fcntl
import json
from pathlib import Path

import pytest

from operations.served import served_releases
from releases.catalog import release_names
from releases.collecting import (
    find_leftovers,
    plan_collection,
    remove_leftover,
    remove_release,
)
from releases.pointers import switch_current
from releases.serving import hold_release
from releases.writing import lock_build, publish_release, staging_folder
from retrieval_core.errors import FailedPrecondition
from tests.unit.releases.release_files import make_manifest, overwrite


def _make_dated(folder: Path, name: str, year: int) -> None:
    manifest = dataclasses.replace(make_manifest(name), created=f"{year}-01-01T00:00:00Z")
    with lock_build(folder, name), staging_folder(folder, name) as staging:
        (staging / "p_ivf.faiss").write_bytes(name.encode())
        publish_release(staging, folder, manifest)


@pytest.fixture
def six(tmp_path: Path) -> Path:
    """Releases a to f, a the oldest; b is previous and c current."""
    releases = tmp_path / "releases"
    releases.mkdir()
    for year, name in enumerate("abcdef", start=2001):
        _make_dated(releases, name, year)
    switch_current(releases, "b")
    switch_current(releases, "c")
    return releases


def _removable(releases: Path, keep: int, served: tuple[str, ...] = ()) -> list[str]:
    fates = plan_collection(releases, keep, served)
    return sorted(fate.name for fate in fates if not fate.kept_because)


def test_the_newest_and_what_is_pointed_at_stay(six: Path) -> None:
    assert _removable(six, keep=2) == ["a", "d"]
    assert _removable(six, keep=0) == ["a", "d", "e", "f"]
    reasons = {fate.name: fate.kept_because for fate in plan_collection(six, 1)}
    assert reasons == {
        "a": "",
        "b": "is `previous`",
        "c": "is `current`",
        "d": "",
        "e": "",
        "f": "is among the 1 newest",
    }


def test_what_is_served_stays(six: Path) -> None:
    hold = hold_release(six / "a")
    assert _removable(six, keep=0, served=("d",)) == ["e", "f"]
    with pytest.raises(FailedPrecondition, match="being served"):
        remove_release(six, "a")
    hold.close()
    assert _removable(six, keep=0) == ["a", "d", "e", "f"]


def test_a_damaged_release_stays_for_people_to_look_at(six: Path) -> None:
    overwrite(six / "a" / "manifest.json", b"{}")
    assert _removable(six, keep=0) == ["d", "e", "f"]


def test_what_is_removed_takes_what_stands_beside_it(six: Path) -> None:
    corpus = six.parent / "corpus"
    corpus.mkdir()
    for name in ("a", "d"):
        (corpus / f"{name}.npz").write_bytes(b"x")
        (six / f"{name}.operating_point.json").write_text("{}")
    remove_release(six, "a")
    assert release_names(six) == ["b", "c", "d", "e", "f"]
    assert [path.name for path in corpus.iterdir()] == ["d.npz"]
    assert [path.name for path in six.glob("*.json")] == ["d.operating_point.json"]
    assert [path.name for path in six.glob(".removed*")] == []


@pytest.mark.parametrize("name", ["b", "c"])
def test_a_pointer_that_moved_meanwhile_saves_its_release(six: Path, name: str) -> None:
    with pytest.raises(FailedPrecondition, match="is `"):
        remove_release(six, name)
    assert name in release_names(six)


def test_leftovers_of_what_was_killed_are_found_and_running_work_is_not(six: Path) -> None:
    for name in (".staging-dead", ".staging-alive", ".removed-x-0011", ".work"):
        (six / name).mkdir(exist_ok=True)
        (six / name / "file").write_bytes(b"12345")
    with (six / ".locks" / "alive").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = find_leftovers(six)
        assert [(each.name, each.bytes) for each in found] == [
            (".removed-x-0011", 5),
            (".staging-dead", 5),
        ]
        remove_leftover(six, ".staging-alive")
        assert (six / ".staging-alive" / "file").exists()
    for each in found:
        remove_leftover(six, each.name)
    assert not (six / ".staging-dead").exists()


def test_the_state_of_a_stack_names_what_it_serves(six: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert served_releases(run, six) == set()
    run.mkdir()
    state = {"servers": [{"settings": {"INDEX_RELEASE": f"{six}/d", "X": "/e.txt"}}], "n": 1}
    (run / "stack.json").write_text(json.dumps(state))
    (run / "arms.json").write_text('{"baseline": {"release": "e"}, "canary": null}')
    assert served_releases(run, six) == {"d", "e"}
    (run / "arms.json").write_text("{")
    assert served_releases(run, six) == {"d"}
