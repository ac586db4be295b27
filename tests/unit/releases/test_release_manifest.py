"""The manifest survives a round trip, and every defect names its file and key."""

import json
from pathlib import Path

import pytest

from releases.manifest import MANIFEST_NAME, manifest_bytes, read_manifest
from retrieval_core.errors import DamagedArtifact
from tests.unit.releases.release_files import make_manifest


def _write(folder: Path, **changes: object) -> None:
    values = json.loads(manifest_bytes(make_manifest("one")))
    for key, value in changes.items():
        if value is None:
            del values[key]
        else:
            values[key] = value
    (folder / MANIFEST_NAME).write_text(json.dumps(values), encoding="utf-8")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    manifest = make_manifest("one", shard_count=2)
    (tmp_path / MANIFEST_NAME).write_bytes(manifest_bytes(manifest))
    assert read_manifest(tmp_path) == manifest


KEYS = sorted(json.loads(manifest_bytes(make_manifest("one"))))


@pytest.mark.parametrize("key", KEYS)
def test_each_key_is_required(tmp_path: Path, key: str) -> None:
    _write(tmp_path, **{key: None})
    with pytest.raises(DamagedArtifact, match=rf"manifest\.json: key `{key}` is missing"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("key", [key for key in KEYS if key != "format"])
def test_each_key_has_a_type(tmp_path: Path, key: str) -> None:
    _write(tmp_path, **{key: 1.5})
    with pytest.raises(DamagedArtifact, match=f"`{key}` must be"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "retrieval-release/9"}, "key `format` is 'retrieval-release/9'"),
        ({"nprobe": True}, "`nprobe` must be a whole number, is True"),
        ({"shard_count": 0}, "`shard_count` must be at least 1"),
        ({"encoder": {"name": "x"}}, "`encoder.fingerprint` is missing"),
        ({"files": {"../up": {"sha256": "", "bytes": 1}}}, "outside the release"),
        ({"files": {"/abs": {"sha256": "", "bytes": 1}}}, "outside the release"),
        ({"files": {"a": {"sha256": "", "bytes": "1"}}}, "`files.a.bytes` must be a whole number"),
        ({"gates": {"norm": {"figure": "x"}}}, "`gates.norm.figure` must be a number"),
        ({"lanes": ["a", 1]}, "`lanes` must be a list of strings"),
    ],
)
def test_defects_are_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    _write(tmp_path, **changes)
    with pytest.raises(DamagedArtifact) as caught:
        read_manifest(tmp_path)
    assert message in caught.value.message
    assert str(tmp_path / MANIFEST_NAME) in caught.value.message


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "is not JSON"), (b"[]", "is not a JSON object"), (b"\xff{}", "is not JSON")],
)
def test_unreadable_files_are_damaged(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(DamagedArtifact, match=message):
        read_manifest(tmp_path)


def test_absent_manifest_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(DamagedArtifact, match="cannot be read"):
        read_manifest(tmp_path)


def test_keys_of_later_versions_are_ignored(tmp_path: Path) -> None:
    _write(tmp_path, colour="blue")
    assert read_manifest(tmp_path) == make_manifest("one")
