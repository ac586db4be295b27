"""Vectors of the corpus by the encoder that will be served, kept by fingerprint and texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from encoder_svc.encoder import Encoder
from retrieval_core.vectors import Float32Matrix
from training.encoder.progress import Progress


class TextEncoder(Protocol):
    """Makes vectors; `fingerprint` names the space that they live in."""

    @property
    def fingerprint(self) -> str:
        """`sha256:` and a digest."""
        ...

    def encode(self, texts: Sequence[str], label: str) -> Float32Matrix:
        """texts: n strings; returns [n, 768] float32, unit norm."""
        ...


class ServedEncoder:
    """The encoder of a model folder, computed as it is served; progress goes to stderr."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._encoder = Encoder.load(folder, threads=threads)

    @property
    def fingerprint(self) -> str:
        """Names the vector space."""
        return self._encoder.manifest.fingerprint

    @property
    def name(self) -> str:
        """The model's name."""
        return self._encoder.manifest.name

    def encode(self, texts: Sequence[str], label: str) -> Float32Matrix:
        """texts: n strings; returns [n, 768] float32, unit norm."""
        progress = Progress(label, total=len(texts), unit="texts")
        vectors = self._encoder.encode(texts, progress=progress.advance).vectors
        progress.close()
        return vectors


def cached_vectors(
    encoder: TextEncoder, texts: Sequence[str], label: str, folder: Path
) -> Float32Matrix:
    """The vectors [n, 768] of `texts`, read from `folder` if they were computed before.

    Files are named by fingerprint and texts, so another encoder never meets them.
    """
    digest = hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()[:16]
    space = encoder.fingerprint.removeprefix("sha256:")[:16]
    path = folder / space / f"{label}-{digest}.npy"
    if path.exists():
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    vectors = encoder.encode(texts, label)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, vectors, allow_pickle=False)
    partial.replace(path)
    return vectors
