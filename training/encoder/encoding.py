"""Rows of tokenised texts to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.encoder.model import SentenceEncoder
from training.encoder.tokens import Rows, TokenRows

TOKENS_PER_FORWARD = 8192


@dataclass(frozen=True)
class TextRows:
    """Some rows of tokenised texts, each cut to `limit` tokens."""

    tokens: TokenRows
    rows: Rows
    limit: int


class TextEncoder:
    """Encodes rows of tokens on one device."""

    def __init__(self, model: SentenceEncoder, device: torch.device) -> None:
        self._model, self._device = model, device

    def encode(self, parts: Sequence[TextRows]) -> list[Tensor]:
        """For each part float32 [r, 768], unit norm, in the order of its rows."""
        return [self._encode(part) for part in parts]

    def _encode(self, part: TextRows) -> Tensor:
        lengths = np.minimum(part.tokens.lengths[part.rows], part.limit)
        order = np.argsort(lengths, kind="stable")
        vectors = [
            self._forward(part.tokens, part.rows[order[chunk]], part.limit)
            for chunk in _token_chunks(lengths[order])
        ]
        return torch.cat(vectors)[self._tensor(np.argsort(order))]

    def _forward(self, tokens: TokenRows, rows: Rows, limit: int) -> Tensor:
        ids, mask = (self._tensor(part) for part in tokens.padded(rows, limit))
        with torch.autocast(self._device.type, torch.bfloat16):
            vectors: Tensor = self._model(ids, mask)
        return vectors

    def _tensor(self, array: np.typing.NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).long().to(self._device)


def encode_all(encoder: TextEncoder, tokens: TokenRows, limit: int) -> Tensor:
    """Every text of `tokens`, [n, 768], in blocks of about a thousand."""
    blocks = np.array_split(np.arange(len(tokens)), max(1, len(tokens) // 1024))
    return torch.cat([encoder.encode([TextRows(tokens, rows, limit)])[0] for rows in blocks])


def _token_chunks(lengths: Rows) -> list[Rows]:
    """Places of ascending `lengths`, cut so that a padded chunk has few tokens beyond its own."""
    chunks: list[Rows] = []
    start = 0
    for place in range(1, len(lengths) + 1):
        full = place < len(lengths) and (
            (place + 1 - start) * lengths[place] > TOKENS_PER_FORWARD
            or lengths[place] > 1.5 * lengths[start] + 4
        )
        if full or place == len(lengths):
            chunks.append(np.arange(start, place))
            start = place
    return chunks
