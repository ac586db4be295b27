"""The token table: the teacher's main directions and random codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.encoder.model import OUTPUT_DIMENSIONS, SentenceEncoder
from training.encoder.teacher import TEACHER_DIMENSIONS
from training.encoder.tokens import TokenRows

SMOOTHING = 1e-3
SHARED_ROWS = 256
LONGEST = 0.99  # rows beyond this quantile of the lengths are cut to it by the final norm


@dataclass(frozen=True)
class PieceVectors:
    """Vectors [v, 384] of the pieces, the main directions [384, r], and weights [v] in (0, 1].

    rows [v] int64: the piece whose row of the table each piece takes, most often its own.
    """

    vectors: Tensor
    directions: Tensor
    weights: Tensor
    rows: Tensor


def piece_texts(tokenizer: Tokenizer, rows: int) -> list[str]:
    """The text of each piece of the vocabulary, [rows]; a piece without text becomes "."."""
    texts = []
    for row in range(rows):
        piece = tokenizer.id_to_token(row) or ""
        texts.append(piece.replace("\u2581", " ").strip() or ".")
    return texts


def piece_weights(texts: Sequence[TokenRows], rows: int) -> npt.NDArray[np.float32]:
    """[rows] in (0, 1]: smooth inverse frequency, near 0 for what stands in every text."""
    ids = np.concatenate([tokens.ids for tokens in texts])
    counts = np.bincount(ids, minlength=rows).astype(np.float64)
    share = counts / counts.sum()
    weights: npt.NDArray[np.float32] = (SMOOTHING / (SMOOTHING + share)).astype(np.float32)
    return weights


def shared_rows(counts: npt.NDArray[np.integer], share: int = SHARED_ROWS) -> npt.NDArray[np.int64]:
    """For counts [v] of the pieces the row that each takes: its own, or one of few if never seen.

    Pieces that no training text has, most of them of other languages, have `share` rows between
    them. Equal rows are stored once, which leaves room for wider ones.
    """
    rows = np.arange(len(counts), dtype=np.int64)
    unseen = np.flatnonzero(counts == 0)
    rows[unseen] = unseen[np.arange(len(unseen)) % share]
    return rows


def teacher_isometry(generator: torch.Generator) -> Tensor:
    """[384, 768] with orthonormal rows: the teacher's space laid into the student's."""
    square = _orthogonal(OUTPUT_DIMENSIONS, generator)
    return square[:TEACHER_DIMENSIONS]


def main_directions(targets: Tensor, count: int) -> Tensor:
    """[384, count] orthonormal: the directions in which targets [n, 384] are largest."""
    _, directions = torch.linalg.eigh(targets.T @ targets / len(targets))
    return directions.flip(1)[:, :count].contiguous()


def start_from_pieces(
    model: SentenceEncoder,
    pieces: PieceVectors,
    isometry: Tensor,
    code_length: float,
    generator: torch.Generator,
) -> None:
    """Sets the token table and the Dense layer of a model without blocks.

    A token's row has three parts: its vector among the teacher's main directions, a random code of
    `code_length` that tells it from its synonyms, and one direction that the Dense layer ignores.
    The last takes what the weight leaves over, because the final norm gives every token the same
    length. A random rotation spreads the parts over all columns, so that no column is an outlier
    to an 8-bit scale. Raises ValueError for a d_model that leaves the code too few or too many
    columns.
    """
    width, main = model.shape.d_model, pieces.directions.shape[1]
    code_size = width - main - 1
    if not 0 < code_size <= OUTPUT_DIMENSIONS - main:
        raise ValueError(f"d_model {width} leaves {code_size} columns for the code beside {main}")
    code = torch.randn(len(pieces.vectors), code_size, generator=generator) / math.sqrt(code_size)
    own = torch.cat([pieces.vectors @ pieces.directions, code * code_length], dim=1)
    own = own * pieces.weights[:, None]
    own = own[pieces.rows] / torch.quantile(own.norm(dim=1), LONGEST)
    rest = (1 - own.pow(2).sum(1, keepdim=True)).clamp(min=0.0).sqrt()
    rotation = _orthogonal(width, generator)
    kept = pieces.directions.T @ isometry
    projection = torch.cat([kept, _complement(kept)[:code_size], torch.zeros(1, OUTPUT_DIMENSIONS)])
    with torch.no_grad():
        model.shared.weight.copy_(torch.cat([own, rest], dim=1) @ rotation * math.sqrt(width))
        model.dense.weight.copy_((rotation.T @ projection).T)


def _orthogonal(size: int, generator: torch.Generator) -> Tensor:
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator))
    return q


def _complement(isometry: Tensor) -> Tensor:
    _, _, right = torch.linalg.svd(isometry, full_matrices=True)
    return right[len(isometry) :]
