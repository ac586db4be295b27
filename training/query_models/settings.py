"""What is trained and how; the defaults are those of the shipped models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from training.query_models.batches import BatchSettings


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How one network is fitted.

    temperature: of the softmax over cosines. same_article_weight: how much a passage of the same
    article counts among the wrong answers. decay: share of the weights that is taken off in each
    step at the full rate, which pulls towards the recency-weighted mean. noise: length of a random
    vector that is added to every item. frozen: layers that stay as they are at the start, where
    they add nothing. members: runs from the same start whose weights are averaged.
    """

    width: int = 256
    dropout: float = 0.3
    epochs: int = 3
    learning_rate: float = 1e-3
    temperature: float = 0.05
    same_article_weight: float = 0.3
    decay: float = 0.003
    noise: float = 0.0
    frozen: tuple[str, ...] = ()
    members: int = 1
    seed: int = 0
    with_pieces: bool = False
    batches: BatchSettings = field(default_factory=BatchSettings)


SHIPPED: Mapping[str, FitSettings] = MappingProxyType(
    {"amn_v0": FitSettings(), "gru_v0": FitSettings(width=256)}
)
