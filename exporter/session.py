"""Runs an exported graph over texts, for calibration and parity; the service has its own runner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from exporter.weights import Array

TokenIds = list[int]


class TextTokenizer:
    """Turns texts into token ids of at most `max_tokens`, the closing token included."""

    def __init__(self, tokenizer_json: Path, max_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer_json))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def ids(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of each text, in order."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]


class GraphRunner:
    """One ONNX Runtime session on the CPU."""

    def __init__(self, graph: Path | bytes, threads: int = 0) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        source = str(graph) if isinstance(graph, Path) else graph
        self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    def output_names(self) -> list[str]:
        """Names of the graph's outputs, in order."""
        return [output.name for output in self._session.get_outputs()]

    def run(self, batch: Sequence[TokenIds], outputs: list[str]) -> list[Array]:
        """Run texts of any lengths as one padded batch."""
        ids, mask = pad(batch)
        feeds = {"input_ids": ids, "attention_mask": mask}
        results: list[Array] = self._session.run(outputs, feeds)
        return results

    def encode(self, texts: Sequence[TokenIds], batch_size: int = 1) -> Array:
        """Vectors [n, dimensions] in the order given, run in batches of similar length."""
        order = np.argsort([len(text) for text in texts], kind="stable")
        vectors = [
            self.run([texts[index] for index in chosen], ["sentence_embedding"])[0]
            for chosen in _chunks(order, batch_size)
        ]
        result = np.empty_like(np.concatenate(vectors))
        result[order] = np.concatenate(vectors)
        return result


def pad(batch: Sequence[TokenIds]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and mask [n, longest] int64; padding is id 0 under mask 0."""
    longest = max(len(text) for text in batch)
    ids = np.zeros((len(batch), longest), np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(batch):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def _chunks(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]
