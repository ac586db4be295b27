"""One stage of training: steps, schedule, validation, the best weights so far."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from training.encoder.bank import PassageBank
from training.encoder.batches import article_batches, endless_batches
from training.encoder.encoding import TextEncoder
from training.encoder.examples import TrainingTexts
from training.encoder.model import SentenceEncoder
from training.encoder.objective import Batch, Objective
from training.encoder.progress import Progress
from training.encoder.repeats import Damping
from training.encoder.settings import StageSettings
from training.encoder.validation import CHOSEN_MEASURE, validation_measures


@dataclass(frozen=True)
class StagePlan:
    """A stage with its seed, the time it may take, and how a bag damps its repeats."""

    settings: StageSettings
    seed: int
    limit_seconds: float
    damping: Damping | None = None


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

    Validates before the first step and after the last. Stops after the stage's steps or the plan's
    time, whichever is first; the learning rate falls to zero towards that end.
    """
    settings = plan.settings
    rng = np.random.default_rng(plan.seed)
    encoder = TextEncoder(model, isometry.device, blocks=settings.blocks, damping=plan.damping)
    objective = Objective(encoder, texts, isometry, settings, rng)
    if settings.candidates:
        tokens = texts.train.paragraphs
        objective.use_bank(PassageBank(encoder, tokens, settings.paragraph_tokens))
    optimizer = make_optimizer(model, settings)
    result = StageResult(settings.name)
    _validate(encoder, model, texts, result)
    progress = Progress(f"stage {settings.name}", total=settings.steps, unit="steps")
    start = time.monotonic()
    for batch in _batches(texts, settings, rng):
        elapsed = (time.monotonic() - start) / plan.limit_seconds
        done = max(result.steps / settings.steps, elapsed)
        if done >= 1.0:
            break
        set_rates(optimizer, rate_factor(result.steps, settings.warmup_steps, done))
        loss = take_step(model, optimizer, objective.loss(batch))
        result.steps += 1
        progress.advance(1, note=f"loss {loss:.3f}")
    result.seconds = time.monotonic() - start
    _validate(encoder, model, texts, result)
    model.load_state_dict(result.weights)
    return result


def take_step(model: SentenceEncoder, optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """One update with gradients clipped to norm 1. Returns the loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return float(loss.item())


def make_optimizer(model: SentenceEncoder, settings: StageSettings) -> torch.optim.Adam:
    """Adam with rates of their own for the token table and for the final norm and Dense layer.

    A rate of 0 freezes, which also saves the gradient. The entries of the table are of order 1.
    """
    table = [model.shared.weight]
    output = [model.dense.weight, model.encoder.final_layer_norm.weight]
    named = {id(parameter) for parameter in (*table, *output)}
    others = [p for p in model.parameters() if id(p) not in named]
    rates = (settings.table_rate, settings.dense_rate, settings.rate)
    groups = []
    for parameters, rate in zip((table, output, others), rates, strict=True):
        for parameter in parameters:
            parameter.requires_grad_(rate > 0)
        groups.append({"params": parameters, "lr": rate, "base": rate})
    groups = [group for group in groups if group["params"]]
    return torch.optim.Adam(groups, betas=(0.9, settings.second_decay), fused=True)


def rate_factor(step: int, warmup_steps: int, done: float) -> float:
    """Linear warm-up, then linear to zero as `done` goes from 0 to 1."""
    return min(1.0, (step + 1) / warmup_steps) * (1.0 - done)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets every group's rate to its base times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * factor


def _batches(
    texts: TrainingTexts, settings: StageSettings, rng: np.random.Generator
) -> Iterator[Batch]:
    size = min(settings.paragraphs_per_batch, len(texts.train.paragraphs))
    definitions = endless_batches(
        len(texts.documentation.names), settings.definitions_per_batch, rng
    )
    sentences = endless_batches(len(texts.sentences.tokens), settings.sentences_per_batch, rng)
    while True:
        passes = article_batches(texts.train.articles, size, settings.paragraphs_per_article, rng)
        for rows in passes:
            yield Batch(rows, next(definitions), next(sentences))


def _validate(
    encoder: TextEncoder, model: SentenceEncoder, texts: TrainingTexts, result: StageResult
) -> None:
    measures = dict(validation_measures(encoder, texts))
    figures = ", ".join(f"{name} {value:.3f}" for name, value in measures.items())
    sys.stderr.write(f"stage {result.name}: step {result.steps}: validation {figures}\n")
    result.history.append({"step": result.steps, **measures})
    if not result.best or measures[CHOSEN_MEASURE] > result.best[CHOSEN_MEASURE]:
        result.best = measures
        result.weights = {name: value.clone() for name, value in model.state_dict().items()}
