"""Publishes model folders: graph, tokenizer and a manifest with every file's checksum."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval_core.checksums import fingerprint_of, sha256_of_file

FORMAT = "retrieval-encoder/1"
GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
MANIFEST = "manifest.json"
CARD = "MODEL_CARD.md"


@dataclass(frozen=True)
class Description:
    """What a manifest says beside the checksums. `fidelity` is the parity report's summary.

    `source_weights` is the digest of the weights that it was made of: a folder with the same digest
    is its source.
    """

    name: str
    dimensions: int
    max_tokens: int
    precision: str
    batch_invariant: bool
    source: str
    license: str
    fidelity: dict[str, Any] = field(default_factory=dict)
    source_weights: str = ""


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A fresh folder beside `target` that replaces it if the block succeeds, and vanishes if not.

    A model card already in `target` is kept where the block writes none.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield stage
        if (target / CARD).is_file() and not (stage / CARD).exists():
            shutil.copyfile(target / CARD, stage / CARD)
        stage.chmod(0o755)
        _replace_folder(stage, target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def write_manifest(folder: Path, description: Description) -> dict[str, Any]:
    """Checksum every file of the folder and write its manifest; returns what was written."""
    paths = [path for path in sorted(folder.iterdir()) if path.name not in (MANIFEST, CARD)]
    digests = {path.name: sha256_of_file(path) for path in paths}
    files = {
        path.name: {"sha256": digests[path.name], "bytes": path.stat().st_size} for path in paths
    }
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": description.name,
        "fingerprint": fingerprint_of(digests),
        "dimensions": description.dimensions,
        "max_tokens": description.max_tokens,
        "precision": description.precision,
        "batch_invariant": description.batch_invariant,
        "source": description.source,
        "license": description.license,
        "files": files,
    }
    if description.source_weights:
        manifest["source_weights"] = description.source_weights
    if description.fidelity:
        manifest["fidelity"] = description.fidelity
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def _replace_folder(stage: Path, target: Path) -> None:
    if not target.exists():
        stage.rename(target)
        return
    old = stage.with_name(stage.name + ".old")
    target.rename(old)
    stage.rename(target)
    shutil.rmtree(old)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
