"""Rows of tokenised texts to vectors, by the token table alone or by the whole model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.encoder.batches import drop_tokens
from training.encoder.model import SentenceEncoder
from training.encoder.repeats import Damping, repeat_counts
from training.encoder.tokens import Ids, Rows, TokenRows

TOKENS_PER_FORWARD = 8192


@dataclass(frozen=True)
class TextRows:
    """Some rows of tokenised texts, each cut to `limit` tokens."""

    tokens: TokenRows
    rows: Rows
    limit: int


class TextEncoder:
    """Encodes rows of tokens with the token table alone or with the blocks, on one device.

    Without blocks, `damping` weighs repeated tokens as the damping head of a widened model does.
    """

    def __init__(
        self,
        model: SentenceEncoder,
        device: torch.device,
        *,
        blocks: bool,
        damping: Damping | None = None,
    ) -> None:
        self._model, self._device, self._blocks = model, device, blocks
        self._damping = damping

    def encode(
        self,
        parts: Sequence[TextRows],
        drop: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> list[Tensor]:
        """For each part float32 [r, 768], unit norm, in the order of its rows.

        With the token table alone, each token is left out with probability `drop`. All parts share
        one look-up there: its gradient is as large as the table, whatever the number of texts.
        """
        if self._blocks:
            return [self._encode_blocks(part) for part in parts]
        flat = [part.tokens.flat(part.rows, part.limit) for part in parts]
        ids = np.concatenate([ids for ids, _ in flat])
        shifts = np.cumsum([0, *(len(ids) for ids, _ in flat)])
        offsets = np.concatenate(
            [starts + shift for (_, starts), shift in zip(flat, shifts, strict=False)]
        )
        if drop and rng is not None:
            ids, offsets = drop_tokens(ids, offsets, drop, rng)
        weights = self._weights(ids, offsets)
        vectors = self._model.forward_bag(self._tensor(ids), self._tensor(offsets), weights)
        return list(torch.split(vectors, [len(part.rows) for part in parts]))

    def _weights(self, ids: Ids, offsets: Rows) -> Tensor | None:
        if self._damping is None:
            return None
        return torch.from_numpy(self._damping.weights(repeat_counts(ids, offsets))).to(self._device)

    def _encode_blocks(self, part: TextRows) -> Tensor:
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
