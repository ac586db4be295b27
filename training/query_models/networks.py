"""The networks: both start at recency-weighted means and learn what to add to them.

Items stand oldest first at the right; padding has mask 0 and reaches nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder_svc.query_models import MAX_CONTEXT_ITEMS
from retrieval_core.vectors import DIMENSIONS

PLAIN_FACTOR = 0.25
MAPPED_FACTOR = 0.65
"""What is mapped looks further back: its directions are those of the topic."""

_LEAST_MASK = 1e-9
# Elements of unit vectors are small; layers like inputs of about one.
_ELEMENT_SCALE = math.sqrt(DIMENSIONS)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a network: `width` of its hidden state, dropout of what is added."""

    width: int
    dropout: float


class AttentionMixture(nn.Module):
    """The mean asks one attention head for a weighted context; a residual network corrects it."""

    name = "amn_v0"

    def __init__(self, shape: Shape, key_width: int = 64) -> None:
        super().__init__()
        self.recent = nn.Parameter(_recency_logits(PLAIN_FACTOR))
        self.positions = nn.Parameter(_recency_logits(MAPPED_FACTOR))
        self.ask = nn.Linear(DIMENSIONS, key_width, bias=False)
        self.key = nn.Linear(DIMENSIONS, key_width, bias=False)
        self.straight = nn.Linear(DIMENSIONS, DIMENSIONS, bias=False)
        self.inward = nn.Linear(2 * DIMENSIONS, shape.width)
        self.outward = nn.Linear(shape.width, DIMENSIONS)
        self.dropout = nn.Dropout(shape.dropout)
        _silence(self.key, self.straight, self.outward)

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        """Items [n, 5, 768] and mask [n, 5] to unit rows [n, 768]."""
        mean = functional.normalize((items * mask[..., None]).sum(dim=1), dim=-1)
        asked = self.ask(mean * _ELEMENT_SCALE)
        told = self.key(items * _ELEMENT_SCALE)
        logits = (told * asked[:, None, :]).sum(dim=-1) / told.shape[-1]
        weighted = _weighted_mean(items, mask, logits + self.positions)
        both = torch.cat([mean, weighted], dim=-1) * _ELEMENT_SCALE
        added = self.outward(self.dropout(functional.gelu(self.inward(both)))) / _ELEMENT_SCALE
        plain = _weighted_mean(items, mask, self.recent.expand(mask.shape))
        return functional.normalize(plain + self.straight(weighted) + added, dim=-1)


class GruBlock(nn.Module):
    """One gated recurrent layer over five places, added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.cell = nn.GRUCell(width, width)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """States [n, 5, width] and mask [n, 5] to [n, 5, width]; padding leaves no trace."""
        cell = self.cell
        from_inputs = functional.linear(self.norm(states), cell.weight_ih, cell.bias_ih)
        hidden = torch.zeros_like(states[:, 0])
        outputs = []
        for place in range(MAX_CONTEXT_ITEMS):
            here = mask[:, place, None]
            stepped = _gru_step(cell, from_inputs[:, place], hidden)
            hidden = here * stepped + (1 - here) * hidden
            outputs.append(hidden)
        return states + torch.stack(outputs, dim=1)


class StackedGru(nn.Module):
    """Stacked GRU blocks read the context in order and correct its recency-weighted mean."""

    name = "gru_v0"

    def __init__(self, shape: Shape, block_count: int = 2) -> None:
        super().__init__()
        self.recent = nn.Parameter(_recency_logits(PLAIN_FACTOR))
        self.positions = nn.Parameter(_recency_logits(MAPPED_FACTOR))
        self.inward = nn.Linear(DIMENSIONS, shape.width)
        self.blocks = nn.ModuleList(GruBlock(shape.width) for _ in range(block_count))
        self.straight = nn.Linear(DIMENSIONS, DIMENSIONS, bias=False)
        self.outward = nn.Linear(shape.width, DIMENSIONS)
        self.dropout = nn.Dropout(shape.dropout)
        _silence(self.straight, self.outward)

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        """Items [n, 5, 768] and mask [n, 5] to unit rows [n, 768]."""
        weighted = _weighted_mean(items, mask, self.positions.expand(mask.shape))
        states = self.inward(items * _ELEMENT_SCALE)
        for block in self.blocks:
            states = block(states, mask)
        added = self.outward(self.dropout(states[:, -1])) / _ELEMENT_SCALE
        plain = _weighted_mean(items, mask, self.recent.expand(mask.shape))
        return functional.normalize(plain + self.straight(weighted) + added, dim=-1)


QueryNetwork = AttentionMixture | StackedGru

_ADDING_LAYERS = ("key", "straight", "outward")


def averaged(networks: Sequence[QueryNetwork]) -> QueryNetwork:
    """A network whose weights are the means of those of networks that had the same start."""
    copied = copy.deepcopy(networks[0])
    states = [network.state_dict() for network in networks]
    copied.load_state_dict(
        {name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]}
    )
    return copied


def with_strength(network: QueryNetwork, strength: float) -> QueryNetwork:
    """A copy that adds `strength` times as much to the plain recency-weighted mean."""
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in copied.named_parameters():
            if name.partition(".")[0] in _ADDING_LAYERS:
                parameter.mul_(strength)
    return copied


def parameter_count(network: nn.Module) -> int:
    """Numbers that were learned."""
    return sum(parameter.numel() for parameter in network.parameters())


def _recency_logits(factor: float) -> Tensor:
    ages = torch.arange(MAX_CONTEXT_ITEMS - 1, -1, -1, dtype=torch.float32)
    return ages * math.log(factor)


def _weighted_mean(items: Tensor, mask: Tensor, logits: Tensor) -> Tensor:
    weights = torch.softmax(logits + torch.log(mask + _LEAST_MASK), dim=-1)
    return functional.normalize((weights[..., None] * items).sum(dim=1), dim=-1)


def _gru_step(cell: nn.GRUCell, from_inputs: Tensor, hidden: Tensor) -> Tensor:
    """What nn.GRUCell does, written out: the exporter knows no single step of it."""
    # As a product of matrices: the runtime does not keep the weights of a Gemm packed.
    from_hidden = torch.matmul(hidden, cell.weight_hh.T) + cell.bias_hh
    reset_in, update_in, new_in = from_inputs.chunk(3, dim=-1)
    reset_hidden, update_hidden, new_hidden = from_hidden.chunk(3, dim=-1)
    reset = torch.sigmoid(reset_in + reset_hidden)
    update = torch.sigmoid(update_in + update_hidden)
    proposed = torch.tanh(new_in + reset * new_hidden)
    return (1 - update) * proposed + update * hidden


def _silence(*layers: nn.Linear) -> None:
    """Make layers give zero, so that the untrained network is a recency-weighted mean."""
    for layer in layers:
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
