"""Vectors of the corpus by the encoder that will be served, kept by fingerprint and texts."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Tokenizer

from retrieval_core.checksums import fingerprint_of, sha256_of_file
from retrieval_core.errors import DamagedArtifact
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows

TOKENS_AT_ONCE = 4096
MODEL_FILES = ("model.onnx", "tokenizer.json")

_REPORT_EVERY_S = 20.0


class TextEncoder(Protocol):
    """Makes vectors; `fingerprint` names the space that they live in."""

    fingerprint: str

    def encode(self, texts: Sequence[str], label: str) -> Float32Matrix:
        """texts: n strings; returns [n, 768] float32, unit norm."""
        ...


class FolderEncoder:
    """The encoder of a model folder, run in batches of similar length."""

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        digests = {name: sha256_of_file(folder / name) for name in MODEL_FILES}
        self.fingerprint = fingerprint_of(digests)
        if self.fingerprint != manifest["fingerprint"]:
            raise DamagedArtifact(f"{folder}: the files are not those of its fingerprint")
        # A graph whose vectors change with their batch-mates is run as it is served: one by one.
        self._rows_at_once = 64 if manifest["batch_invariant"] else 1
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(int(manifest["max_tokens"]))
        self._session = ort.InferenceSession(
            str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: Sequence[str], label: str) -> Float32Matrix:
        """texts: n strings; returns [n, 768] float32, unit norm. Progress goes to stderr."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        vectors = np.empty((len(rows), DIMENSIONS), np.float32)
        started = reported = time.monotonic()
        done = 0
        for batch in length_batches([len(row) for row in rows], self._rows_at_once):
            vectors[batch] = self._encode_batch([rows[row] for row in batch])
            done += len(batch)
            if time.monotonic() - reported > _REPORT_EVERY_S:
                reported = time.monotonic()
                sys.stderr.write(f"{label}: {done} of {len(rows)}, {reported - started:.0f} s\n")
        return normalize_rows(vectors)

    def _encode_batch(self, rows: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        width = max(len(row) for row in rows)
        ids = np.zeros((len(rows), width), np.int64)
        mask = np.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = 1
        (vectors,) = self._session.run(
            ["sentence_embedding"], {"input_ids": ids, "attention_mask": mask}
        )
        return np.asarray(vectors, np.float32)


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


def length_batches(lengths: Sequence[int], rows_at_once: int) -> Iterator[list[int]]:
    """Rows by length, at most `rows_at_once` and about TOKENS_AT_ONCE padded tokens together."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        too_many = len(batch) >= rows_at_once or (len(batch) + 1) * lengths[row] > TOKENS_AT_ONCE
        if batch and too_many:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
