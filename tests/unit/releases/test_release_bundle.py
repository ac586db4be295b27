"""A release is sealed in one step, checked by sha256sum, and refused when a byte differs."""

import shutil
import subprocess
from pathlib import Path

import pytest

from releases.bundle import open_release
from releases.catalog import release_names, resolve_release
from releases.checksums import CHECKSUMS_NAME, checksum_lines, read_checksums
from releases.layout import shard_paths
from releases.writing import lock_build, publish_release, staging_folder
from retrieval_core.errors import (
    DamagedArtifact,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Overloaded,
)
from tests.unit.releases.release_files import make_manifest, make_release, overwrite


def test_sha256sum_checks_a_release(tmp_path: Path) -> None:
    release = make_release(tmp_path, "one", shard_count=2)
    tool = shutil.which("sha256sum")
    assert tool, "coreutils is needed"
    done = subprocess.run(
        [tool, "--strict", "-c", CHECKSUMS_NAME],
        cwd=release.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    listed = {line.split(": ")[0] for line in done.stdout.splitlines()}
    present = {
        path.relative_to(release.folder).as_posix()
        for path in release.folder.rglob("*")
        if path.is_file()
    }
    assert listed == present - {CHECKSUMS_NAME}


def test_a_sealed_file_is_read_only(tmp_path: Path) -> None:
    folder = make_release(tmp_path, "one", shard_count=2).folder
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o444}


def test_nothing_unfinished_stays_behind(tmp_path: Path) -> None:
    make_release(tmp_path, "one")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".staging")] == []
    assert release_names(tmp_path) == ["one"]


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_named_and_only_what_is_asked_for_is_read(tmp_path: Path, damage: str) -> None:
    release = make_release(tmp_path, "one", shard_count=2)
    victim = release.folder / "shards" / "1" / "p_ivf.faiss"
    content = bytearray(victim.read_bytes())
    if damage == "flip":
        content[3] ^= 1
        overwrite(victim, bytes(content))
    elif damage == "cut":
        overwrite(victim, bytes(content[:-1]))
    else:
        victim.unlink()
    opened = open_release(release.folder)
    assert opened.shard_files(0).index.name == "p_ivf.faiss"
    with pytest.raises(DamagedArtifact, match=str(victim)):
        opened.shard_files(1)
    with pytest.raises(DamagedArtifact, match=str(victim)):
        opened.verify()


def test_an_edited_manifest_is_refused(tmp_path: Path) -> None:
    folder = make_release(tmp_path, "one").folder
    path = folder / "manifest.json"
    overwrite(path, path.read_bytes().replace(b'"nprobe": 8', b'"nprobe": 9'))
    with pytest.raises(DamagedArtifact, match=r"manifest\.json: sha256 differs"):
        open_release(folder)


def test_an_edited_checksum_list_is_refused(tmp_path: Path) -> None:
    folder = make_release(tmp_path, "one").folder
    digests = read_checksums(folder)
    digests["p_ivf.faiss"] = "0" * 64
    overwrite(folder / CHECKSUMS_NAME, checksum_lines(digests))
    with pytest.raises(DamagedArtifact, match="manifest and checksums"):
        open_release(folder)
    overwrite(folder / CHECKSUMS_NAME, b"nonsense\n")
    with pytest.raises(DamagedArtifact, match="line 1"):
        open_release(folder)


def test_unlisted_files_and_shards_are_not_found(tmp_path: Path) -> None:
    release = make_release(tmp_path, "one")
    with pytest.raises(DamagedArtifact, match="does not list nothing"):
        release.path("nothing")
    with pytest.raises(NotFound, match=r"shards 0\.\.0, not 1"):
        release.shard_files(1)
    assert release.encoder_folder() == release.folder / "encoder"


def test_one_shard_is_the_whole_at_the_top_level() -> None:
    assert shard_paths(0, 1).index == "p_ivf.faiss"
    assert shard_paths(1, 4).passages == "shards/1/passages.arrow"
    with pytest.raises(ValueError, match="not one of"):
        shard_paths(2, 2)


def test_a_release_never_changes(tmp_path: Path) -> None:
    before = (make_release(tmp_path, "one").folder / CHECKSUMS_NAME).read_bytes()
    with (
        pytest.raises(FailedPrecondition, match="exists"),
        lock_build(tmp_path, "one"),
        staging_folder(tmp_path, "one") as staging,
    ):
        publish_release(staging, tmp_path, make_manifest("one"))
    assert (tmp_path / "one" / CHECKSUMS_NAME).read_bytes() == before


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build_half() -> None:
        with lock_build(tmp_path, "one"), staging_folder(tmp_path, "one") as staging:
            (staging / "half").write_bytes(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_half()
    assert {path for path in tmp_path.rglob("*") if path.name in ("one", "half")} == {
        tmp_path / ".locks" / "one",
        tmp_path / ".work" / "one",
    }


def test_a_name_is_built_once_at_a_time(tmp_path: Path) -> None:
    with (
        lock_build(tmp_path, "one"),
        pytest.raises(Overloaded, match="being built"),
        lock_build(tmp_path, "one"),
    ):
        pass
    with lock_build(tmp_path, "one"), lock_build(tmp_path, "one.lock"):
        pass


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", ".hidden", "a b", "a\n", "é", "x" * 101, "current"]
)
def test_names_with_more_than_a_plain_part_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput) as caught, lock_build(tmp_path, name):
        pass
    assert caught.value.violations[0].field == "name"


def test_releases_are_found_by_name_pointer_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_release(tmp_path, "one").folder
    (tmp_path / "current").symlink_to("one")
    assert resolve_release("one", tmp_path) == folder
    assert resolve_release("current", tmp_path) == folder
    assert resolve_release(str(folder), tmp_path / "elsewhere") == folder
    monkeypatch.chdir(tmp_path)
    assert resolve_release("one", tmp_path / "elsewhere") == folder
    with pytest.raises(NotFound, match=r"no release 'two'.*there: one"):
        resolve_release("two", tmp_path)
    with pytest.raises(NotFound):
        resolve_release("../one", tmp_path / "x")
