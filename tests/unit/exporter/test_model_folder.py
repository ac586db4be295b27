"""Model folders appear whole or not at all, and say what is in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporter.model_folder import CARD, MANIFEST, Description, staged, write_manifest
from exporter.texts import docstring_texts, read_texts

DESCRIPTION = Description(
    name="m",
    dimensions=768,
    max_tokens=512,
    precision="int8",
    batch_invariant=True,
    source="s",
    license="Apache-2.0",
    fidelity={"worst_cosine": 0.999},
)


def publish(target: Path, content: bytes) -> None:
    with staged(target) as stage:
        (stage / "model.onnx").write_bytes(content)
        write_manifest(stage, DESCRIPTION)


def test_a_folder_is_replaced_whole_and_keeps_its_card(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    publish(target, b"one")
    (target / CARD).write_text("card")
    (target / "stale.bin").write_bytes(b"")
    publish(target, b"two")
    assert {path.name for path in target.iterdir()} == {"model.onnx", MANIFEST, CARD}
    assert (target / "model.onnx").read_bytes() == b"two"
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_a_failure_leaves_the_old_folder_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "model"
    publish(target, b"one")
    with pytest.raises(IsADirectoryError), staged(target) as stage:
        stage.read_bytes()
    assert (target / "model.onnx").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_manifest_has_checksums_of_all_but_itself_and_the_card(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"abc")
    (tmp_path / CARD).write_text("card")
    write_manifest(tmp_path, DESCRIPTION)
    first = json.loads((tmp_path / MANIFEST).read_text())
    assert list(first["files"]) == ["model.onnx"]
    assert first["files"]["model.onnx"]["bytes"] == 3
    assert first["fidelity"] == {"worst_cosine": 0.999}
    (tmp_path / "model.onnx").write_bytes(b"abd")
    second = write_manifest(tmp_path, DESCRIPTION)
    assert second["fingerprint"] != first["fingerprint"]


def test_docstring_texts_cover_the_lengths_and_repeat() -> None:
    texts = docstring_texts(30, seed=3)
    assert texts == docstring_texts(30, seed=3)
    assert texts != docstring_texts(30, seed=4)
    words = sorted({len(text.split()) for text in texts})
    assert words[0] == 1
    assert words[-1] == 360


def test_texts_are_read_from_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b", "id": 1}\n')
    assert read_texts(path) == ["a", "b"]
