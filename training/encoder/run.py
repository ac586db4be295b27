"""A whole training run: examples, start, stages, checkpoint; resumable after each stage."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from functools import partial
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
    training_examples,
)
from training.encoder.loop import StagePlan, StageResult, train_stage
from training.encoder.model import SentenceEncoder, silence_blocks
from training.encoder.settings import RunSettings, StageSettings
from training.encoder.start import (
    piece_texts,
    piece_weights,
    start_from_pieces,
    teacher_isometry,
)
from training.encoder.teacher import Teacher, Vectors, cached_vectors, teacher_folder
from training.encoder.texts import cached_documentation
from training.encoder.tokens import load_tokenizer


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
    tokenizer = load_tokenizer(paths.tokenizer)
    teacher = LazyTeacher(paths.cache, device)
    texts = _texts(tokenizer, paragraphs, teacher, paths.cache / "documentation.json")
    model, isometry = _start(tokenizer, texts, settings, teacher)
    model, isometry = model.to(device), isometry.to(device)
    results = []
    for index, stage in enumerate(settings.stages):
        share = 60.0 * minutes * _stage_share(settings.stages, index)
        plan = StagePlan(stage, settings.seed + index, share)
        train = partial(train_stage, model, texts, isometry, plan)
        results.append(_resume_or(train, model, stage, paths.run))
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
    )


def _start(
    tokenizer: Tokenizer, texts: TrainingTexts, settings: RunSettings, teacher: Encode
) -> tuple[SentenceEncoder, Tensor]:
    generator = torch.Generator().manual_seed(settings.seed)
    rows = settings.shape.vocab_size
    isometry = teacher_isometry(generator)
    pieces = torch.from_numpy(teacher(piece_texts(tokenizer, rows), "pieces")).float()
    weights = torch.from_numpy(piece_weights(texts.train.paragraphs, rows))
    model = SentenceEncoder(settings.shape)
    start_from_pieces(model, pieces, weights, isometry, generator)
    silence_blocks(model, generator)
    return model, isometry


def _stage_share(stages: Sequence[StageSettings], index: int) -> float:
    weights = [4.0 if stage.blocks else 1.0 for stage in stages]
    return weights[index] / sum(weights)


def _resume_or(
    train: partial[StageResult], model: SentenceEncoder, stage: StageSettings, folder: Path
) -> StageResult:
    folder.mkdir(parents=True, exist_ok=True)
    weights, log = folder / f"{stage.name}.pt", folder / f"{stage.name}.json"
    if weights.exists() and log.exists():
        sys.stderr.write(f"stage {stage.name}: done before, loaded\n")
        model.load_state_dict(torch.load(weights, weights_only=True))
        return StageResult(**json.loads(log.read_text(encoding="utf-8")))
    result = train()
    torch.save(model.state_dict(), weights)
    log.write_text(json.dumps(_report(result), indent=2) + "\n", encoding="utf-8")
    return result


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
