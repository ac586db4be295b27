"""What is tried: variants of the models, as data; each says how it differs from what is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from training.query_models.batches import BatchSettings
from training.query_models.settings import SHIPPED, FitSettings

# One run each: what several runs bring together is a variant of its own.
_AMN = replace(SHIPPED["amn_v0"], members=1)
_GRU = replace(SHIPPED["gru_v0"], members=1)


@dataclass(frozen=True, slots=True)
class Trial:
    """One variant of a model."""

    label: str
    settings: FitSettings


TRIALS: Mapping[str, tuple[Trial, ...]] = MappingProxyType(
    {
        "amn_v0": (
            Trial("as shipped: an average of runs", SHIPPED["amn_v0"]),
            Trial("one run", _AMN),
            Trial("the computed start alone", replace(_AMN, epochs=0)),
            Trial("no computed start", replace(_AMN, discriminant=0.0)),
            Trial(
                "only position weights are learned, no start",
                replace(_AMN, discriminant=0.0, frozen=("key", "straight", "outward")),
            ),
            Trial("attention by content stays silent", replace(_AMN, frozen=("key",))),
            Trial("the straight map stays as computed", replace(_AMN, frozen=("straight",))),
            Trial("the residual network stays silent", replace(_AMN, frozen=("outward",))),
            Trial("pieces of at most 96 tokens too", replace(_AMN, with_pieces=True)),
            Trial("one run, another seed", replace(_AMN, seed=1)),
            Trial("the same article counts a third", replace(_AMN, same_article_weight=0.3)),
            Trial("twice the temperature", replace(_AMN, temperature=_AMN.temperature * 2)),
            Trial("half the temperature", replace(_AMN, temperature=_AMN.temperature / 2)),
            Trial(
                "three times the learning rate",
                replace(_AMN, learning_rate=_AMN.learning_rate * 3),
            ),
            Trial("a third of the epochs", replace(_AMN, epochs=_AMN.epochs // 3)),
            Trial("noise on the items", replace(_AMN, noise=0.5)),
            Trial(
                "contexts never shortened",
                replace(_AMN, batches=BatchSettings(shortened_share=0.0)),
            ),
            Trial("twice the epochs", replace(_AMN, epochs=_AMN.epochs * 2)),
        ),
        "gru_v0": (
            Trial("as shipped: an average of runs", SHIPPED["gru_v0"]),
            Trial("one run", _GRU),
            Trial("no computed start", replace(_GRU, discriminant=0.0)),
            Trial("the straight map stays as computed", replace(_GRU, frozen=("straight",))),
            Trial("the recurrent blocks stay silent", replace(_GRU, frozen=("outward",))),
            Trial("the same article counts a third", replace(_GRU, same_article_weight=0.3)),
        ),
    }
)
