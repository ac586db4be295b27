"""One stage of training: steps, schedule, validation, the best weights so far."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from training.encoder.batches import article_batches, endless_batches
from training.encoder.examples import ParagraphExamples, TrainingTexts
from training.encoder.measures import exact_ranks, retrieval_measures
from training.encoder.model import SentenceEncoder
from training.encoder.objective import Objective, TextEncoder, TextRows, encode_all
from training.encoder.progress import Progress
from training.encoder.settings import StageSettings
from training.encoder.tokens import Rows

VALIDATION_TOKENS = 256
VALIDATION_QUESTIONS = 2000
CHOSEN_MEASURE = "MRR@10"


@dataclass(frozen=True)
class StagePlan:
    """A stage with its seed and the time it may take."""

    settings: StageSettings
    seed: int
    limit_seconds: float


@dataclass
class StageResult:
    """What a stage reached; `weights` are those of the best validation."""

    name: str
    steps: int = 0
    seconds: float = 0.0
    best: Mapping[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)


def train_stage(
    model: SentenceEncoder, texts: TrainingTexts, isometry: Tensor, plan: StagePlan
) -> StageResult:
    """Trains `model` in place and leaves it with the weights of the best validation.

    Stops after the stage's epochs or the plan's time, whichever is first; the learning rate falls
    to zero towards that end.
    """
    settings = plan.settings
    rng = np.random.default_rng(plan.seed)
    encoder = TextEncoder(model, isometry.device, blocks=settings.blocks)
    objective = Objective(encoder, texts, isometry, settings, rng)
    optimizer = make_optimizer(model, settings)
    steps, every = _step_counts(settings, len(texts.train.paragraphs))
    result = StageResult(settings.name)
    progress = Progress(f"stage {settings.name}", total=steps, unit="steps")
    start = time.monotonic()
    for rows, named in _batches(texts, settings, rng):
        done = max(result.steps / steps, (time.monotonic() - start) / plan.limit_seconds)
        if done >= 1.0:
            break
        set_rates(optimizer, rate_factor(result.steps, settings.warmup_steps, done))
        loss = take_step(model, optimizer, objective.loss(rows, named))
        result.steps += 1
        progress.advance(1, note=f"loss {loss:.3f}")
        if result.steps % every == 0:
            _validate(encoder, model, texts.validation, result)
    _validate(encoder, model, texts.validation, result)
    model.load_state_dict(result.weights)
    result.seconds = time.monotonic() - start
    return result


def take_step(model: SentenceEncoder, optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """One update with gradients clipped to norm 1. Returns the loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return float(loss.item())


def make_optimizer(model: SentenceEncoder, settings: StageSettings) -> torch.optim.Adam:
    """Adam with a rate of its own for the token table, whose entries are of order 1.

    A rate of 0 freezes the table, which also saves its gradient.
    """
    table = [model.shared.weight]
    model.shared.weight.requires_grad_(settings.table_rate > 0)
    others = [p for name, p in model.named_parameters() if name != "shared.weight"]
    groups = [
        {"params": table, "lr": settings.table_rate, "base": settings.table_rate},
        {"params": others, "lr": settings.rate, "base": settings.rate},
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)


def rate_factor(step: int, warmup_steps: int, done: float) -> float:
    """Linear warm-up, then linear to zero as `done` goes from 0 to 1."""
    return min(1.0, (step + 1) / warmup_steps) * (1.0 - done)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets every group's rate to its base times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * factor


def measure(encoder: TextEncoder, examples: ParagraphExamples) -> Mapping[str, float]:
    """Questions to paragraphs by exact search within `examples` alone."""
    questions = len(examples.questions)
    asked = np.arange(0, questions, max(1, questions // VALIDATION_QUESTIONS))
    with torch.inference_mode():
        (queries,) = encoder.encode([TextRows(examples.questions, asked, VALIDATION_TOKENS)])
        passages = encode_all(encoder, examples.paragraphs, VALIDATION_TOKENS)
    ranks = exact_ranks(queries.cpu().numpy(), passages.cpu().numpy(), examples.owners[asked])
    return retrieval_measures(ranks)


def _step_counts(settings: StageSettings, paragraph_count: int) -> tuple[int, int]:
    per_epoch = paragraph_count // min(settings.paragraphs_per_batch, paragraph_count)
    return settings.epochs * per_epoch, max(1, per_epoch // settings.validations_per_epoch)


def _batches(
    texts: TrainingTexts, settings: StageSettings, rng: np.random.Generator
) -> Iterator[tuple[Rows, Rows]]:
    size = min(settings.paragraphs_per_batch, len(texts.train.paragraphs))
    definitions = endless_batches(
        len(texts.documentation.names), settings.definitions_per_batch, rng
    )
    for _ in range(settings.epochs):
        passes = article_batches(texts.train.articles, size, settings.paragraphs_per_article, rng)
        yield from zip(passes, definitions, strict=False)


def _validate(
    encoder: TextEncoder, model: SentenceEncoder, examples: ParagraphExamples, result: StageResult
) -> None:
    measures = dict(measure(encoder, examples))
    figures = ", ".join(f"{name} {value:.3f}" for name, value in measures.items())
    sys.stderr.write(f"stage {result.name}: step {result.steps}: validation {figures}\n")
    result.history.append({"step": result.steps, **measures})
    if not result.best or measures[CHOSEN_MEASURE] > result.best[CHOSEN_MEASURE]:
        result.best = measures
        result.weights = {name: value.clone() for name, value in model.state_dict().items()}
