"""Every bad file is named at once, with its reason."""

from collections.abc import Callable
from pathlib import Path

import pytest

from releases.verification import Problem, find_problems
from tests.unit.releases.release_files import make_release, overwrite


def test_a_whole_release_has_no_problems(tmp_path: Path) -> None:
    folder = make_release(tmp_path, "one", shard_count=2).folder
    assert find_problems(folder) == []
    (tmp_path / "current").symlink_to("one")
    assert find_problems(tmp_path / "current") == []


def test_all_bad_files_are_named_together(tmp_path: Path) -> None:
    folder = make_release(tmp_path, "one", shard_count=3).folder
    overwrite(folder / "shards" / "0" / "p_ivf.faiss", b"short")
    (folder / "shards" / "1" / "p_ivf.faiss").unlink()
    victim = folder / "shards" / "2" / "p_ivf.faiss"
    overwrite(victim, victim.read_bytes().replace(b"one", b"two"))
    (folder / "stranger.txt").write_text("x")
    (folder / "encoder" / "link").symlink_to("model.onnx")
    found = {problem.file: problem.reason for problem in find_problems(folder)}
    assert found.pop("shards/0/p_ivf.faiss").startswith("has 5 bytes, the manifest says ")
    assert found.pop("shards/1/p_ivf.faiss") == "is missing"
    assert found.pop("shards/2/p_ivf.faiss").startswith("sha256 is ")
    assert found.pop("stranger.txt") == "is not listed in the manifest"
    assert found.pop("encoder/link") == "is not listed in the manifest"
    assert found == {}


def _edit_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    overwrite(path, path.read_bytes().replace(b'"nprobe": 8', b'"nprobe": 9'))


def _remove_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _damage_checksums(folder: Path) -> None:
    overwrite(folder / "checksums.txt", b"nonsense\n")


def _link_a_file(folder: Path) -> None:
    path = folder / "p_ivf.faiss"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("damage", "file", "reason"),
    [
        (_edit_manifest, "manifest.json", "sha256 differs from checksums.txt"),
        (_remove_manifest, "manifest.json", "cannot be read"),
        (_damage_checksums, "checksums.txt, line 1", "is not `digest  name`"),
        (_link_a_file, "p_ivf.faiss", "is a link, must be a file"),
    ],
)
def test_what_cannot_be_trusted_is_named(
    tmp_path: Path, damage: Callable[[Path], None], file: str, reason: str
) -> None:
    folder = make_release(tmp_path, "one").folder
    damage(folder)
    (problem,) = find_problems(folder)
    assert problem.file == file
    assert problem.reason.startswith(reason)


def test_a_release_under_another_name_is_noticed(tmp_path: Path) -> None:
    make_release(tmp_path, "one").folder.rename(tmp_path / "two")
    expected = [Problem("manifest.json", "is of one, but the folder is two")]
    assert find_problems(tmp_path / "two") == expected
