"""Turns a bag of tokens into a T5 encoder whose first head damps repeats.

The bag is narrower than the encoder. The columns beyond it hold, for each token, a random code of
fixed length and two constants, and a mark of `</s>`; the Dense layer reads none of them. Head 0 of
block 0 compares codes, so that a token attends to its copies and to `</s>`, and writes the copies'
share of the attention into the first constant's column, which the final norm pays for. Further
heads and the feed-forward part add nothing.

Eight bits: bag, first constant and mark are rotated together, so that no column is an outlier; code
and second constant keep columns of their own, as the scores hang on them and a query map with one
entry a row is exact in eight bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from training.encoder.model import EncoderShape, SentenceEncoder, silence_blocks
from training.encoder.repeats import Damping
from training.encoder.tokens import END_ID

CODE_COLUMNS = 27
ASKING_COLUMNS = 4
SHARPNESS = 10.0  # score of a copy; other tokens' codes score a normal variable of a fifth of it
CODE_SHARE = 0.1  # of a row's squared length
PAID_SHARE = 0.05
ASKING_VALUE = 3.0
VALUE_GAIN = 24.0  # values far above rounding, as one 8-bit scale has to serve all heads


def bag_shape(shape: EncoderShape) -> EncoderShape:
    """A model without blocks and with the columns that `widen` leaves for the bag."""
    width = shape.d_model - 2 - CODE_COLUMNS - ASKING_COLUMNS
    return replace(shape, d_model=width, num_layers=0)


def widen(
    bag: SentenceEncoder, shape: EncoderShape, damping: Damping, generator: torch.Generator
) -> SentenceEncoder:
    """An encoder of `shape` that gives the vectors of `bag` with its repeats damped.

    `bag` has `bag_shape(shape)`; heads of `shape` are at least CODE_COLUMNS + 2 wide.
    """
    model = SentenceEncoder(shape)
    silence_blocks(model)
    width = bag.shape.d_model
    layout = _Layout(width, shape.d_model, _rotation(width + 2, shape.d_model, generator))
    with torch.no_grad():
        mark = _write_rows(model, bag, damping, layout, generator)
        dense = torch.zeros_like(model.dense.weight)
        dense[:, :width] = bag.dense.weight * bag.encoder.final_layer_norm.weight
        model.dense.weight.copy_(dense @ layout.rotation)
        _write_head(model, damping, layout, mark)
    return model


@dataclass(frozen=True)
class _Layout:
    """Columns before the rotation: bag, paid constant, mark, code, asking constants."""

    bag: int
    width: int
    rotation: Tensor

    @property
    def paid(self) -> int:
        return self.bag

    @property
    def mark(self) -> int:
        return self.bag + 1

    @property
    def code(self) -> slice:
        return slice(self.bag + 2, self.bag + 2 + CODE_COLUMNS)

    @property
    def asking(self) -> slice:
        return slice(self.width - ASKING_COLUMNS, self.width)


def _rotation(mixed: int, width: int, generator: torch.Generator) -> Tensor:
    square, _ = torch.linalg.qr(torch.randn(mixed, mixed, generator=generator))
    return torch.block_diag(square, torch.eye(width - mixed))


def _write_rows(
    model: SentenceEncoder,
    bag: SentenceEncoder,
    damping: Damping,
    layout: _Layout,
    generator: torch.Generator,
) -> float:
    """Writes the token table. Returns the length of the mark of `</s>` in its row.

    A row has the length sqrt(width). `</s>` has no code and no constant, so that nothing attends to
    it but by its mark; what it lacks in damping its mark takes from its own part.
    """
    table = functional.normalize(bag.shared.weight, dim=1)
    code = functional.normalize(torch.randn(len(table), CODE_COLUMNS, generator=generator), dim=1)
    _, group = torch.unique(table, dim=0, return_inverse=True)
    code = code[group]  # equal rows stay equal
    asked = ASKING_COLUMNS * ASKING_VALUE**2 / layout.width
    own = math.sqrt(1 - CODE_SHARE - PAID_SHARE - asked)
    rows = torch.zeros(len(table), layout.width)
    rows[:, : layout.bag] = table * own
    rows[:, layout.paid] = math.sqrt(PAID_SHARE)
    rows[:, layout.code] = code * math.sqrt(CODE_SHARE)
    rows[:, layout.asking] = ASKING_VALUE / math.sqrt(layout.width)
    paid = math.sqrt(PAID_SHARE) + damping.gain * damping.odds / (1 + damping.odds)
    end = own / math.sqrt(1 - PAID_SHARE + paid**2)
    rows[END_ID] = 0.0
    rows[END_ID, : layout.bag] = table[END_ID] * end
    rows[END_ID, layout.mark] = math.sqrt(1 - end**2)
    model.shared.weight.copy_(rows @ layout.rotation * math.sqrt(layout.width))
    return math.sqrt((1 - end**2) * layout.width)


def _write_head(model: SentenceEncoder, damping: Damping, layout: _Layout, mark: float) -> None:
    size, width = model.shape.d_kv, layout.width
    query, key, value = (torch.zeros(size, width) for _ in range(3))
    codes = torch.eye(CODE_COLUMNS) * math.sqrt(SHARPNESS / (CODE_SHARE * width))
    query[:CODE_COLUMNS, layout.code] = key[:CODE_COLUMNS, layout.code] = codes
    to_end = math.sqrt(SHARPNESS - math.log(damping.odds))
    query[-1, layout.asking] = to_end / (ASKING_VALUE * ASKING_COLUMNS)
    query[-2, layout.mark] = key[-2, layout.mark] = key[-1, layout.mark] = to_end / mark
    value[0, layout.paid] = VALUE_GAIN / math.sqrt(PAID_SHARE * width)
    output = torch.zeros(width, size)
    output[layout.paid, 0] = damping.gain * math.sqrt(width) / VALUE_GAIN
    attention = model.encoder.block[0].layer[0].SelfAttention
    attention.q.weight[:size] = query @ layout.rotation
    attention.k.weight[:size] = key @ layout.rotation
    attention.v.weight[:size] = value @ layout.rotation
    attention.o.weight[:, :size] = layout.rotation.T @ output
