"""What is tried: variants of the models, as data; each says how it differs from what is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from training.query_models.batches import BatchSettings
from training.query_models.settings import SHIPPED, FitSettings

_AMN = SHIPPED["amn_v0"]
_GRU = SHIPPED["gru_v0"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One variant of a model."""

    label: str
    settings: FitSettings


TRIALS: Mapping[str, tuple[Trial, ...]] = MappingProxyType(
    {
        "amn_v0": (
            Trial("as shipped", _AMN),
            Trial("another seed", replace(_AMN, seed=1)),
            Trial("only position weights", replace(_AMN, frozen=("key", "straight", "outward"))),
            Trial("no attention by content", replace(_AMN, frozen=("key",))),
            Trial("no straight map", replace(_AMN, frozen=("straight",))),
            Trial("no residual network", replace(_AMN, frozen=("outward",))),
            Trial("with or without pieces", replace(_AMN, with_pieces=not _AMN.with_pieces)),
            Trial("same article counts fully", replace(_AMN, same_article_weight=1.0)),
            Trial("same article counts a tenth", replace(_AMN, same_article_weight=0.1)),
            Trial("half the temperature", replace(_AMN, temperature=_AMN.temperature / 2)),
            Trial("twice the temperature", replace(_AMN, temperature=_AMN.temperature * 2)),
            Trial("no decay", replace(_AMN, decay=0.0)),
            Trial("three times the decay", replace(_AMN, decay=_AMN.decay * 3)),
            Trial("a third of the learning rate", replace(_AMN, learning_rate=3e-4)),
            Trial("noise on the items", replace(_AMN, noise=0.5)),
            Trial(
                "contexts never shortened",
                replace(_AMN, batches=BatchSettings(shortened_share=0.0)),
            ),
            Trial("half of the epochs", replace(_AMN, epochs=_AMN.epochs // 2)),
        ),
        "gru_v0": (
            Trial("as shipped", _GRU),
            Trial("no straight map", replace(_GRU, frozen=("straight",))),
            Trial("no recurrent blocks", replace(_GRU, frozen=("outward",))),
            Trial("same article counts fully", replace(_GRU, same_article_weight=1.0)),
            Trial("three times the decay", replace(_GRU, decay=_GRU.decay * 3)),
            Trial("a third of the learning rate", replace(_GRU, learning_rate=3e-4)),
        ),
    }
)
