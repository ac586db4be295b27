"""A whole training run: examples, start, stages, checkpoint; resumable after each stage."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.encoder.checkpoint import write_checkpoint
from training.encoder.corpus import Paragraph, paragraphs_of
from training.encoder.examples import (
    Encode,
    TrainingTexts,
    documentation_examples,
    paragraph_examples,
    sentence_examples,
    training_examples,
)
from training.encoder.fitting import fitted_pieces
from training.encoder.loop import StagePlan, StageResult, train_stage
from training.encoder.model import SentenceEncoder
from training.encoder.settings import RunSettings, StageSettings
from training.encoder.start import start_from_pieces, teacher_isometry
from training.encoder.teacher import Teacher, Vectors, cached_vectors, teacher_folder
from training.encoder.texts import cached_documentation
from training.encoder.tokens import load_tokenizer
from training.encoder.whitening import whiten
from training.encoder.widening import bag_shape, hold_repeat_head, widen

BLOCKS_SHARE = 0.8  # of the run's minutes


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """Where a run reads its tokenizer from, keeps its vectors and writes its results."""

    tokenizer: Path
    cache: Path
    run: Path


class LazyTeacher:
    """Loads the teacher only when a text is not in the cache."""

    def __init__(self, cache: Path, device: torch.device) -> None:
        self._cache, self._device = cache, device
        self._teacher: Teacher | None = None

    def __call__(self, texts: Sequence[str], label: str) -> Vectors:
        """Texts: n strings. Returns [n, 384] float16."""
        return cached_vectors(self, texts, self._cache, label)

    def encode(self, texts: Sequence[str], label: str) -> Vectors:
        """Computes the vectors, loading the teacher on first use."""
        if self._teacher is None:
            self._teacher = Teacher(teacher_folder(), self._device)
        return self._teacher.encode(texts, label)


def run_training(
    paragraphs: Sequence[Paragraph],
    settings: RunSettings,
    paths: RunPaths,
    device: torch.device,
    minutes: float,
) -> Path:
    """Trains and returns the checkpoint's folder. `minutes` limits the stages, not the teacher.

    A stage that finished in an earlier run in the same folder is loaded, not trained again.
    """
    torch.manual_seed(settings.seed)
    paths.run.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(paths.tokenizer)
    teacher = LazyTeacher(paths.cache, device)
    texts = _texts(tokenizer, paragraphs, teacher, paths.cache / "documentation.json")
    isometry = teacher_isometry(torch.Generator().manual_seed(settings.seed))
    trainer = _Trainer(texts, isometry.to(device), settings, minutes, paths.run)

    bag = SentenceEncoder(bag_shape(settings.shape))
    if not trainer.is_done(settings.bag):
        pieces = fitted_pieces(tokenizer, texts, settings, teacher)
        code = torch.Generator().manual_seed(settings.seed + 1)
        start_from_pieces(bag, pieces, isometry, settings.start.code_length, code)
    results = [trainer.train(bag.to(device), settings.bag)]

    head = torch.Generator().manual_seed(settings.seed + 2)
    model = widen(bag.cpu(), settings.shape, settings.damping, head).to(device)
    hold_repeat_head(model)
    results.append(trainer.train(model, settings.blocks))
    whiten(model, texts.train, settings.whitening)
    checkpoint = paths.run / "checkpoint"
    write_checkpoint(model, checkpoint, paths.tokenizer)
    _write_log(paths.run / "log.json", settings, results, minutes)
    return checkpoint


def _texts(
    tokenizer: Tokenizer, paragraphs: Sequence[Paragraph], teacher: Encode, documentation: Path
) -> TrainingTexts:
    sys.stderr.write("reading texts\n")
    return TrainingTexts(
        train=training_examples(tokenizer, paragraphs, teacher),
        validation=paragraph_examples(tokenizer, paragraphs_of(paragraphs, "validation"), None),
        documentation=documentation_examples(
            tokenizer, cached_documentation(documentation), teacher
        ),
        sentences=sentence_examples(tokenizer, paragraphs, teacher),
    )


@dataclasses.dataclass(frozen=True)
class _Trainer:
    """Trains a stage, or loads what an earlier run in the same folder finished."""

    texts: TrainingTexts
    isometry: Tensor
    settings: RunSettings
    minutes: float
    folder: Path

    def is_done(self, stage: StageSettings) -> bool:
        """Whether the folder holds the stage's weights and log."""
        return self._weights(stage).exists() and self._log(stage).exists()

    def train(self, model: SentenceEncoder, stage: StageSettings) -> StageResult:
        """Leaves `model` with the stage's weights."""
        if self.is_done(stage):
            sys.stderr.write(f"stage {stage.name}: done before, loaded\n")
            model.load_state_dict(torch.load(self._weights(stage), weights_only=True))
            return StageResult(**json.loads(self._log(stage).read_text(encoding="utf-8")))
        result = train_stage(model, self.texts, self.isometry, self._plan(stage))
        torch.save(model.state_dict(), self._weights(stage))
        report = json.dumps(_report(result), indent=2)
        self._log(stage).write_text(report + "\n", encoding="utf-8")
        return result

    def _plan(self, stage: StageSettings) -> StagePlan:
        share = BLOCKS_SHARE if stage.blocks else 1.0 - BLOCKS_SHARE
        seed = self.settings.seed + int(stage.blocks)
        return StagePlan(stage, seed, 60.0 * self.minutes * share, self.settings.damping)

    def _weights(self, stage: StageSettings) -> Path:
        return self.folder / f"{stage.name}.pt"

    def _log(self, stage: StageSettings) -> Path:
        return self.folder / f"{stage.name}.json"


def _report(result: StageResult) -> dict[str, object]:
    return {
        "name": result.name,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "best": dict(result.best),
        "history": result.history,
    }


def _write_log(
    path: Path, settings: RunSettings, results: Sequence[StageResult], minutes: float
) -> None:
    content = {
        "minutes": minutes,
        "settings": dataclasses.asdict(settings),
        "stages": [_report(result) for result in results],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
