"""The encoder: a T5 encoder stack, mean of the tokens, a Dense layer to 768, unit norm.

Modules and parameters carry the names of Hugging Face's T5EncoderModel, so that a state dict goes
there unchanged. Nothing here reads files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

OUTPUT_DIMENSIONS = 768
VOCABULARY_ROWS = 32128


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of the encoder; the names are those of a T5 configuration."""

    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 1024
    num_heads: int = 4
    num_layers: int = 2
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    vocab_size: int = VOCABULARY_ROWS

    @property
    def inner(self) -> int:
        """Width of queries, keys and values over all heads."""
        return self.num_heads * self.d_kv


class RmsNorm(nn.Module):
    """T5's layer norm: scale by the root mean square, no mean taken off, no bias."""

    def __init__(self, size: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, states: Tensor) -> Tensor:
        """States [..., d]. Returns float32 [..., d]."""
        return functional.rms_norm(states.float(), (states.shape[-1],), self.weight, self.epsilon)


class SelfAttention(nn.Module):
    """Attention without scaling of the scores; the first block owns the position bias."""

    def __init__(self, shape: EncoderShape, *, owns_bias: bool) -> None:
        super().__init__()
        self._heads = shape.num_heads
        self.q = nn.Linear(shape.d_model, shape.inner, bias=False)
        self.k = nn.Linear(shape.d_model, shape.inner, bias=False)
        self.v = nn.Linear(shape.d_model, shape.inner, bias=False)
        self.o = nn.Linear(shape.inner, shape.d_model, bias=False)
        if owns_bias:
            self.relative_attention_bias = nn.Embedding(
                shape.relative_attention_num_buckets, shape.num_heads
            )

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """States [n, t, d]; bias [n, h, t, t], -inf-like where masked. Returns [n, t, d]."""
        q, k, v = (self._split(part(states)) for part in (self.q, self.k, self.v))
        scores = q @ k.transpose(2, 3)
        weights = torch.softmax(scores.float() + bias, dim=-1).to(v.dtype)
        return self.o((weights @ v).transpose(1, 2).flatten(2))

    def _split(self, states: Tensor) -> Tensor:
        return states.unflatten(2, (self._heads, -1)).transpose(1, 2)


class AttentionLayer(nn.Module):
    """Pre-norm residual branch of attention."""

    def __init__(self, shape: EncoderShape, *, owns_bias: bool) -> None:
        super().__init__()
        self.SelfAttention = SelfAttention(shape, owns_bias=owns_bias)
        self.layer_norm = RmsNorm(shape.d_model)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """States [n, t, d]; bias [n, h, t, t]. Returns [n, t, d]."""
        return states + self.SelfAttention(self.layer_norm(states), bias)


class FeedForward(nn.Module):
    """Two linear maps with a ReLU between."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.wi = nn.Linear(shape.d_model, shape.d_ff, bias=False)
        self.wo = nn.Linear(shape.d_ff, shape.d_model, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """States [n, t, d]. Returns [n, t, d]."""
        return self.wo(torch.relu(self.wi(states)))


class FeedForwardLayer(nn.Module):
    """Pre-norm residual branch of the feed-forward part."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.DenseReluDense = FeedForward(shape)
        self.layer_norm = RmsNorm(shape.d_model)

    def forward(self, states: Tensor) -> Tensor:
        """States [n, t, d]. Returns [n, t, d]."""
        return states + self.DenseReluDense(self.layer_norm(states))


class Block(nn.Module):
    """One encoder block: attention, then feed-forward."""

    def __init__(self, shape: EncoderShape, *, owns_bias: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            [AttentionLayer(shape, owns_bias=owns_bias), FeedForwardLayer(shape)]
        )

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """States [n, t, d]; bias [n, h, t, t]. Returns [n, t, d]."""
        return self.layer[1](self.layer[0](states, bias))


class Stack(nn.Module):
    """The blocks and the final norm."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self._shape = shape
        self.block = nn.ModuleList(
            [Block(shape, owns_bias=index == 0) for index in range(shape.num_layers)]
        )
        self.final_layer_norm = RmsNorm(shape.d_model)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States [n, t, d]; mask [n, t] 0/1. Returns float32 [n, t, d]."""
        if len(self.block):
            bias = self._bias(mask)
            for block in self.block:
                states = block(states, bias)
        return self.final_layer_norm(states)

    def _bias(self, mask: Tensor) -> Tensor:
        table = self.block[0].layer[0].SelfAttention.relative_attention_bias
        positions = torch.arange(mask.shape[1], device=mask.device)
        buckets = relative_buckets(positions[None, :] - positions[:, None], self._shape)
        bias = table(buckets).permute(2, 0, 1).unsqueeze(0).float()
        return bias + (1.0 - mask[:, None, None, :].float()) * -1e9


class SentenceEncoder(nn.Module):
    """Token ids to unit vectors of 768 numbers."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.shared = nn.Embedding(shape.vocab_size, shape.d_model)
        self.encoder = Stack(shape)
        self.dense = nn.Linear(shape.d_model, OUTPUT_DIMENSIONS, bias=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids [n, t] int64, mask [n, t] 0/1. Returns float32 [n, 768], unit norm."""
        states = self.encoder(self.shared(ids), mask)
        weights = mask.unsqueeze(-1).float()
        return self.project((states * weights).sum(1) / weights.sum(1))

    def project(self, pooled: Tensor) -> Tensor:
        """Pooled [n, d] to float32 [n, 768], unit norm."""
        return functional.normalize(self.dense(pooled).float(), dim=1)


def relative_buckets(distance: Tensor, shape: EncoderShape) -> Tensor:
    """T5's bidirectional buckets: half for each direction, exact when near, logarithmic beyond."""
    half = shape.relative_attention_num_buckets // 2
    exact = half // 2
    size = distance.abs()
    ratio = torch.log(size.float().clamp(min=1) / exact) / math.log(
        shape.relative_attention_max_distance / exact
    )
    far = (exact + (ratio * (half - exact)).long()).clamp(max=half - 1)
    return (distance > 0).long() * half + torch.where(size < exact, size, far)


def silence_blocks(model: SentenceEncoder) -> None:
    """Makes every block an addition of nothing, its position bias too."""
    for name, weight in model.encoder.block.named_parameters():
        if not name.endswith("layer_norm.weight"):
            nn.init.zeros_(weight)
