"""What is trained and how; the defaults are those of the shipped models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from training.query_models.batches import BatchSettings


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How one network is fitted.

    discriminant: how much the computed map of the query counts at the start, beside the
    recency-weighted mean itself; shrinkage: of that map.
    temperature: of the softmax over cosines.
    same_article_weight: how much a passage of the same article counts among the wrong answers.
    decay: share of what was learned that is taken back in each step at the full rate.
    noise: length of a random vector that is added to every item.
    frozen: layers that stay as they are at the start.
    members: runs from the same start whose weights are averaged.
    """

    width: int = 256
    dropout: float = 0.5
    epochs: int = 6
    learning_rate: float = 6e-4
    discriminant: float = 2.0
    shrinkage: float = 0.5
    temperature: float = 0.035
    same_article_weight: float = 1.0
    decay: float = 0.003
    noise: float = 0.0
    frozen: tuple[str, ...] = ()
    members: int = 3
    seed: int = 0
    with_pieces: bool = False
    batches: BatchSettings = field(default_factory=BatchSettings)


SHIPPED: Mapping[str, FitSettings] = MappingProxyType(
    {"amn_v0": FitSettings(), "gru_v0": FitSettings(width=256)}
)
