"""The settings of a training run: its shape, its start, its stages and how long each may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from training.encoder.model import EncoderShape
from training.encoder.regression import RegressionSettings
from training.encoder.repeats import Damping


@dataclass(frozen=True)
class StageSettings:
    """One stage. Rates are Adam's; `*_tokens` cut texts; `*_weight` scale the parts of the loss.

    blocks: whether the T5 layers are computed; without them repeats are damped by weights.
    candidates: passages outside the batch to choose among, from the vectors last seen of each.
    teacher_part: the teacher's distance is taken in its own 384 directions alone.
    names_find: what a definition's name is to find, its whole passage or its body.
    """

    name: str
    blocks: bool
    steps: int
    paragraphs_per_batch: int
    paragraphs_per_article: int
    questions_per_paragraph: int
    definitions_per_batch: int
    sentences_per_batch: int
    paragraph_tokens: int
    question_tokens: int
    body_tokens: int
    sentence_tokens: int
    table_rate: float
    rate: float
    dense_rate: float
    token_drop: float = 0.0
    candidates: int = 0
    teacher_part: bool = False
    names_find: Literal["passages", "bodies"] = "passages"
    temperature: float = 0.05
    distance_weight: float = 1.0
    ranking_weight: float = 0.5
    geometry_weight: float = 1.0
    sentence_weight: float = 1.0
    definition_weight: float = 0.5
    neighbour_weight: float = 0.1
    context_weight: float = 0.3
    warmup_steps: int = 20
    second_decay: float = 0.99


@dataclass(frozen=True)
class StartSettings:
    """The start of the bag: the teacher's main directions, and a random code beside them."""

    teacher_columns: int = 256
    code_length: float = 0.8
    regression: RegressionSettings = field(default_factory=RegressionSettings)


@dataclass(frozen=True)
class RunSettings:
    """A run: the token table alone, the blocks on top of it, and how far vectors are whitened."""

    shape: EncoderShape
    bag: StageSettings
    blocks: StageSettings
    start: StartSettings = field(default_factory=StartSettings)
    damping: Damping = field(default_factory=Damping)
    whitening: float = 0.5
    seed: int = 20


BAG_STAGE = StageSettings(
    name="bag",
    blocks=False,
    steps=30,
    paragraphs_per_batch=512,
    paragraphs_per_article=8,
    questions_per_paragraph=100,
    definitions_per_batch=192,
    sentences_per_batch=1024,
    paragraph_tokens=512,
    question_tokens=64,
    body_tokens=512,
    sentence_tokens=128,
    table_rate=0.005,
    rate=0.001,
    dense_rate=0.001,
    token_drop=0.2,
)
BLOCK_STAGE = StageSettings(
    name="blocks",
    blocks=True,
    steps=150,
    paragraphs_per_batch=64,
    paragraphs_per_article=8,
    questions_per_paragraph=2,
    definitions_per_batch=12,
    sentences_per_batch=64,
    paragraph_tokens=400,
    question_tokens=48,
    body_tokens=96,
    sentence_tokens=64,
    table_rate=0.0,
    rate=0.0001,
    dense_rate=0.0,
    candidates=2048,
    teacher_part=True,
    names_find="bodies",
    distance_weight=0.5,
    ranking_weight=1.0,
    sentence_weight=0.5,
    definition_weight=0.3,
    warmup_steps=30,
    second_decay=0.98,
)
DEFAULT_SHAPE = EncoderShape(d_model=640, d_kv=32, num_heads=4, d_ff=768, num_layers=1)
DEFAULT_RUN = RunSettings(DEFAULT_SHAPE, BAG_STAGE, BLOCK_STAGE)
