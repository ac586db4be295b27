"""The retrieval systems that are compared: a model folder, BM25, and the teacher."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from training.encoder.measures import Floats, Ranks, exact_ranks, ranks_of_scores
from training.encoder.progress import Progress

TOKENS_PER_BATCH = 4096
QUERIES_PER_BLOCK = 512


class System(Protocol):
    """Ranks the right passage of each query among all passages."""

    name: str

    def ranks(self, queries: Sequence[str], passages: Sequence[str], owners: Ranks) -> Ranks:
        """0-based rank of passages[owners[i]] for queries[i]; equal scores count half."""


class Embedder(Protocol):
    """Texts to unit vectors."""

    name: str

    def encode(self, texts: Sequence[str], label: str) -> npt.NDArray[np.floating]:
        """Texts: n strings. Returns [n, d], unit norm."""


class VectorSystem:
    """Exact search by inner product over one embedder's vectors; each text is encoded once."""

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self._embedder = embedder
        self._known: dict[str, Floats] = {}

    def ranks(self, queries: Sequence[str], passages: Sequence[str], owners: Ranks) -> Ranks:
        """0-based rank of passages[owners[i]] for queries[i]."""
        asked = self.vectors(queries, "queries")
        return exact_ranks(asked, self.vectors(passages, "passages"), owners)

    def vectors(self, texts: Sequence[str], label: str) -> Floats:
        """The vectors [n, d] of `texts`, computed once for all tasks."""
        missing = sorted({text for text in texts if text not in self._known})
        if missing:
            vectors = self._embedder.encode(missing, label).astype(np.float32)
            self._known.update(zip(missing, vectors, strict=True))
        return np.stack([self._known[text] for text in texts])


class FolderEmbedder:
    """A model folder: `model.onnx`, `tokenizer.json`, `manifest.json`."""

    def __init__(self, folder: Path, threads: int) -> None:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.name = f"{manifest['name']} ({manifest['precision']})"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(int(manifest["max_tokens"]))

    def encode(self, texts: Sequence[str], label: str) -> Floats:
        """Texts: n strings. Returns [n, 768] float32, unit norm."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        vectors: Floats = np.empty((len(rows), 768), dtype=np.float32)
        progress = Progress(f"{self.name}: {label}", sum(map(len, rows)), "tokens")
        start = 0
        while start < len(order):
            count = max(1, TOKENS_PER_BATCH // len(rows[order[start]]))
            batch = order[start : start + count]
            vectors[batch] = self._run([rows[index] for index in batch])
            progress.advance(sum(len(rows[index]) for index in batch))
            start += count
        progress.close()
        return vectors

    def _run(self, rows: Sequence[Sequence[int]]) -> Floats:
        ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        (vectors,) = self._session.run(
            ["sentence_embedding"], {"input_ids": ids, "attention_mask": mask}
        )
        result: Floats = vectors
        return result


class Bm25System:
    """BM25 over lower-cased words with English stop words left out and words stemmed by nothing.

    The library's defaults: k1 1.5, b 0.75.
    """

    name = "BM25"

    def ranks(self, queries: Sequence[str], passages: Sequence[str], owners: Ranks) -> Ranks:
        """0-based rank of passages[owners[i]] for queries[i]; equal scores count half."""
        import bm25s  # type: ignore[import-not-found]  # an offline package

        index = bm25s.BM25()
        index.index(bm25s.tokenize(list(passages), show_progress=False), show_progress=False)
        words = bm25s.tokenize(list(queries), return_ids=False, show_progress=False)
        ranks = np.empty(len(queries), dtype=np.int64)
        for start in range(0, len(queries), QUERIES_PER_BLOCK):
            block = slice(start, start + QUERIES_PER_BLOCK)
            scores = np.stack([_scores(index, row, len(passages)) for row in words[block]])
            ranks[block] = ranks_of_scores(scores, owners[block])
        return ranks


def _scores(index: object, words: Sequence[str], count: int) -> Floats:
    if not words:
        return np.zeros(count, dtype=np.float32)
    scores: Floats = index.get_scores(list(words))  # type: ignore[attr-defined]
    return scores
