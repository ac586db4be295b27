"""An encoder for programs that have all their texts at once: builds, tools, evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from encoder_svc.manifest import EncoderManifest, open_model_folder
from encoder_svc.session import EncoderSession, SessionOptions
from encoder_svc.text_batches import BatchLimits, batches_by_length
from encoder_svc.tokens import TextTokenizer, TokenizedText, check_texts
from retrieval_core.vectors import DIMENSIONS, Float32Matrix

DEFAULT_MODEL_FOLDER = Path(__file__).parent / "default_model"
LARGEST_TEXT_BYTES = 1 << 20
_OFFLINE_LIMITS = BatchLimits(max_tokens=1024, max_padding_ratio=1.1)
_CHUNK_TEXTS = 2048

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Encoded:
    """vectors [n, 768] float32, unit norm, in the order of the texts; tokens before the cut."""

    vectors: Float32Matrix
    token_counts: tuple[int, ...]
    truncated_count: int


class Encoder:
    """A verified model folder, loaded; holds a whole model in memory."""

    def __init__(
        self, manifest: EncoderManifest, tokenizer: TextTokenizer, session: EncoderSession
    ) -> None:
        self.manifest = manifest
        self._tokenizer = tokenizer
        self._session = session

    @classmethod
    def load(cls, folder: Path = DEFAULT_MODEL_FOLDER, *, threads: int = 1) -> Self:
        """Verify and load. NotFound or DamagedArtifact name what is wrong."""
        opened = open_model_folder(folder)
        return cls(
            opened.manifest,
            TextTokenizer.load(opened.tokenizer, opened.manifest.max_tokens),
            EncoderSession.load(opened.graph, SessionOptions(threads=threads)),
        )

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Encoded:
        """Encode any number of texts; `progress` is told how many more are done.

        Batches depend on the texts alone, so that the same texts give the same bytes. InvalidInput
        names the first text that cannot be encoded, before any is.
        """
        check_texts(texts, max_bytes=LARGEST_TEXT_BYTES)
        tokens = self._tokenizer.tokenize(texts)
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        for start in range(0, len(texts), _CHUNK_TEXTS):
            chunk = tokens[start : start + _CHUNK_TEXTS]
            self._encode_chunk(chunk, vectors[start : start + len(chunk)], progress)
        return Encoded(
            vectors,
            tuple(text.token_count for text in tokens),
            sum(text.truncated for text in tokens),
        )

    def _encode_chunk(
        self, chunk: Sequence[TokenizedText], vectors: Float32Matrix, progress: Progress | None
    ) -> None:
        lengths = [len(text.ids) for text in chunk]
        for batch in batches_by_length(lengths, _OFFLINE_LIMITS):
            vectors[batch] = self._session.run([chunk[index].ids for index in batch])
            if progress is not None:
                progress(len(batch))
