"""Vectors last seen of every training passage: many candidates for a batch at no cost."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.encoder.encoding import TextEncoder, encode_all
from training.encoder.tokens import Rows, TokenRows


class PassageBank:
    """[n, 768] vectors of n passages; those of a batch replace the ones held."""

    def __init__(self, encoder: TextEncoder, passages: TokenRows, limit: int) -> None:
        with torch.no_grad():
            self._vectors = encode_all(encoder, passages, limit)

    def draw(self, count: int, without: Rows, rng: np.random.Generator) -> tuple[Tensor, Rows]:
        """At most `count` random passages other than `without`: vectors [c, 768] and rows [c]."""
        drawn = rng.choice(len(self._vectors), min(count, len(self._vectors)), replace=False)
        rows: Rows = drawn[~np.isin(drawn, without)]
        return self._vectors[torch.from_numpy(rows).to(self._vectors.device)], rows

    def put(self, rows: Rows, vectors: Tensor) -> None:
        """Holds vectors [r, 768] for `rows`, without their gradients."""
        self._vectors[torch.from_numpy(rows).to(self._vectors.device)] = vectors.detach()
