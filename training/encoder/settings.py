"""The settings of a training run: its shape, its stages and how long each may take."""

from __future__ import annotations

from dataclasses import dataclass

from training.encoder.model import EncoderShape


@dataclass(frozen=True)
class StageSettings:
    """One stage. Rates are Adam's; `*_tokens` cut texts; `*_weight` scale the parts of the loss."""

    name: str
    blocks: bool
    epochs: int
    paragraphs_per_batch: int
    paragraphs_per_article: int
    questions_per_paragraph: int
    definitions_per_batch: int
    paragraph_tokens: int
    question_tokens: int
    table_rate: float
    rate: float
    token_drop: float
    temperature: float = 0.05
    teacher_temperature: float = 0.05
    distance_weight: float = 0.5
    ranking_weight: float = 0.5
    definition_weight: float = 0.5
    neighbour_weight: float = 0.1
    warmup_steps: int = 20
    validations_per_epoch: int = 1


@dataclass(frozen=True)
class RunSettings:
    """A run: the token table alone first, then the blocks on top of it."""

    shape: EncoderShape
    stages: tuple[StageSettings, ...]
    seed: int = 20


BAG_STAGE = StageSettings(
    name="bag",
    blocks=False,
    epochs=4,
    paragraphs_per_batch=512,
    paragraphs_per_article=8,
    questions_per_paragraph=100,
    definitions_per_batch=192,
    paragraph_tokens=512,
    question_tokens=64,
    table_rate=0.02,
    rate=0.001,
    token_drop=0.2,
)
BLOCK_STAGE = StageSettings(
    name="blocks",
    blocks=True,
    epochs=3,
    paragraphs_per_batch=64,
    paragraphs_per_article=8,
    questions_per_paragraph=2,
    definitions_per_batch=12,
    paragraph_tokens=128,
    question_tokens=48,
    table_rate=0.0,
    rate=0.0006,
    token_drop=0.0,
    distance_weight=1.0,
    warmup_steps=30,
    validations_per_epoch=1,
)
DEFAULT_SHAPE = EncoderShape(d_model=512, d_kv=32, num_heads=4, d_ff=768, num_layers=2)
SMALL_RUN = RunSettings(DEFAULT_SHAPE, (BAG_STAGE, BLOCK_STAGE))
