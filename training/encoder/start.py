"""Where training starts: token vectors from the teacher's view of each piece of the vocabulary."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.encoder.model import OUTPUT_DIMENSIONS, SentenceEncoder
from training.encoder.teacher import TEACHER_DIMENSIONS
from training.encoder.tokens import TokenRows

SMOOTHING = 1e-3
CODE_SHARE = 0.25


def piece_texts(tokenizer: Tokenizer, rows: int) -> list[str]:
    """The text of each piece of the vocabulary, [rows]; a piece without text becomes "."."""
    texts = []
    for row in range(rows):
        piece = tokenizer.id_to_token(row) or ""
        texts.append(piece.replace("\u2581", " ").strip() or ".")
    return texts


def piece_weights(tokens: TokenRows, rows: int) -> npt.NDArray[np.float32]:
    """[rows] in (0, 1]: smooth inverse frequency, near 0 for what stands in every text."""
    counts = np.bincount(tokens.ids, minlength=rows).astype(np.float64)
    share = counts / counts.sum()
    weights: npt.NDArray[np.float32] = (SMOOTHING / (SMOOTHING + share)).astype(np.float32)
    return weights


def teacher_isometry(generator: torch.Generator) -> Tensor:
    """[384, 768] with orthonormal rows: the teacher's space laid into the student's."""
    square = _orthogonal(OUTPUT_DIMENSIONS, generator)
    return square[:TEACHER_DIMENSIONS]


def start_from_pieces(
    model: SentenceEncoder,
    pieces: Tensor,
    weights: Tensor,
    isometry: Tensor,
    generator: torch.Generator,
) -> None:
    """Sets the token table and the Dense layer; leaves the blocks alone.

    pieces [v, 384] are the teacher's vectors of the vocabulary, weights [v] in (0, 1]. A token's
    row has three parts: the teacher's direction, a random code that tells it from its synonyms,
    and one direction that the Dense layer ignores. The last takes what the weight leaves over,
    because the final norm gives every token the same length. A random rotation spreads the parts
    over all columns, so that no column is an outlier to an 8-bit scale.
    """
    width = model.shape.d_model
    code_size = width - TEACHER_DIMENSIONS - 1
    centred = torch.nn.functional.normalize(pieces - pieces.mean(0), dim=1)
    code = torch.randn(len(pieces), code_size, generator=generator) / math.sqrt(code_size)
    parts = torch.cat(
        [
            centred * (weights * math.sqrt(1 - CODE_SHARE))[:, None],
            code * (weights * math.sqrt(CODE_SHARE))[:, None],
            torch.sqrt(1 - weights**2)[:, None],
        ],
        dim=1,
    )
    rotation = _orthogonal(width, generator)
    complement = _complement(isometry)[:code_size]
    projection = torch.cat([isometry, complement, torch.zeros(1, OUTPUT_DIMENSIONS)])
    with torch.no_grad():
        model.shared.weight.copy_(parts @ rotation * math.sqrt(width))
        model.dense.weight.copy_((rotation.T @ projection).T)


def _orthogonal(size: int, generator: torch.Generator) -> Tensor:
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator))
    return q


def _complement(isometry: Tensor) -> Tensor:
    _, _, right = torch.linalg.svd(isometry, full_matrices=True)
    return right[len(isometry) :]
