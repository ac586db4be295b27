"""A model folder is believed only as far as its checksums and keys agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from encoder_svc.encoder import Encoder
from encoder_svc.manifest import MANIFEST_NAME, open_model_folder
from encoder_svc.session import EncoderSession, SessionOptions
from retrieval_core.checksums import fingerprint_of, sha256_of_file
from retrieval_core.errors import DamagedArtifact, NotFound
from tests.support.tiny_encoder import MAX_TOKENS, edit_manifest, write_tiny_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_folder(tmp_path / "model")


def reseal(folder: Path) -> None:
    """Make the manifest agree with files that were changed."""
    fields = json.loads((folder / MANIFEST_NAME).read_text())
    files = {
        name: {"sha256": sha256_of_file(folder / name), "bytes": (folder / name).stat().st_size}
        for name in fields["files"]
    }
    digests = {name: str(entry["sha256"]) for name, entry in files.items()}
    edit_manifest(folder, files=files, fingerprint=fingerprint_of(digests))


def test_a_whole_folder_is_opened(folder: Path) -> None:
    opened = open_model_folder(folder)
    assert opened.manifest.max_tokens == MAX_TOKENS
    assert opened.manifest.precision == "int8"
    assert opened.graph.is_file()
    assert opened.tokenizer.is_file()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_one_changed_byte_is_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DamagedArtifact, match=f"{name}: sha256"):
        open_model_folder(folder)


def test_a_file_that_was_cut_or_lost_is_named(folder: Path) -> None:
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(DamagedArtifact, match=r"model\.onnx: has \d+ bytes"):
        open_model_folder(folder)
    graph.unlink()
    with pytest.raises(DamagedArtifact, match=r"model\.onnx: is missing"):
        open_model_folder(folder)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"format": "retrieval-encoder/2"}, "format"),
        ({"dimensions": 384}, "dimensions"),
        ({"max_tokens": 1}, "max_tokens"),
        ({"max_tokens": "512"}, "max_tokens"),
        ({"precision": "int4"}, "precision"),
        ({"batch_invariant": 1}, "batch_invariant"),
        ({"fingerprint": "sha256:" + "0" * 64}, "fingerprint"),
        ({"files": {}}, "files"),
        ({"files": {"../model.onnx": {"sha256": "", "bytes": 0}}}, "files"),
    ],
)
def test_a_wrong_key_is_named(folder: Path, changes: dict[str, Any], key: str) -> None:
    edit_manifest(folder, **changes)
    with pytest.raises(DamagedArtifact, match=f"`{key}`"):
        open_model_folder(folder)


def test_no_folder_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such model folder"):
        open_model_folder(tmp_path / "absent")
    with pytest.raises(DamagedArtifact, match="cannot be read"):
        open_model_folder(tmp_path)


def test_a_graph_or_tokenizer_of_another_kind_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    reseal(folder)
    with pytest.raises(DamagedArtifact, match="is not a tokenizer"):
        Encoder.load(folder)
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(DamagedArtifact, match="is not a graph"):
        EncoderSession.load(folder / "model.onnx", SessionOptions())
