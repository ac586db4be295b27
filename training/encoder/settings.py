"""The settings of a training run: its shape, and what each step of it is given."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.encoder.model import EncoderShape
from training.encoder.regression import RegressionSettings
from training.encoder.repeats import Damping


@dataclass(frozen=True)
class StartSettings:
    """The token table: the teacher's main directions, and a random code beside them."""

    teacher_columns: int = 256
    code_length: float = 0.8
    regression: RegressionSettings = field(default_factory=RegressionSettings)


@dataclass(frozen=True)
class RunSettings:
    """A run: the table, the layer that damps repeats, and how far vectors are whitened."""

    shape: EncoderShape
    start: StartSettings = field(default_factory=StartSettings)
    damping: Damping = field(default_factory=Damping)
    whitening: float = 0.5
    seed: int = 20


# One head is all that damping takes, and the feed-forward part adds nothing: what they would cost
# is in the width of the table instead. The Dense layer reads 766 of the 800 columns.
DEFAULT_SHAPE = EncoderShape(d_model=800, d_kv=32, num_heads=1, d_ff=32, num_layers=1)
DEFAULT_RUN = RunSettings(DEFAULT_SHAPE)
