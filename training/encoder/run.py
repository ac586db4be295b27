"""A whole training run: examples, regression, token table, damping layer, whitening, checkpoint."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer

from training.encoder.checkpoint import write_checkpoint
from training.encoder.corpus import Paragraph, paragraphs_of
from training.encoder.encoding import TextEncoder
from training.encoder.examples import (
    Encode,
    TrainingTexts,
    documentation_examples,
    more_examples,
    paragraph_examples,
    sentence_examples,
    training_examples,
)
from training.encoder.fitting import fitted_pieces
from training.encoder.model import SentenceEncoder
from training.encoder.settings import RunSettings
from training.encoder.start import start_from_pieces, teacher_isometry
from training.encoder.teacher import Teacher, Vectors, cached_vectors, teacher_folder
from training.encoder.texts import DocumentationTexts, cached_documentation
from training.encoder.tokens import load_tokenizer
from training.encoder.validation import validation_measures
from training.encoder.whitening import whiten
from training.encoder.widening import bag_shape, widen


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
) -> Path:
    """Trains and returns the checkpoint's folder.

    paragraphs: the corpus, of which the training articles teach, and extra ones, which all do.
    The same texts, settings and machine give the same weights.
    """
    paths.run.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(paths.tokenizer)
    teacher = LazyTeacher(paths.cache, device)
    described = cached_documentation(paths.cache / "documentation.json")
    texts = _texts(tokenizer, paragraphs, described, teacher)

    isometry = teacher_isometry(torch.Generator().manual_seed(settings.seed))
    pieces = fitted_pieces(tokenizer, texts, settings, teacher)
    bag = SentenceEncoder(bag_shape(settings.shape))
    code = torch.Generator().manual_seed(settings.seed + 1)
    start_from_pieces(bag, pieces, isometry, settings.start.code_length, code)
    head = torch.Generator().manual_seed(settings.seed + 2)
    model = widen(bag, settings.shape, settings.damping, head).to(device)
    measured = {"before whitening": _measured(model, texts, "before whitening")}
    whiten(model, texts.train, settings.whitening)
    measured["whitened"] = _measured(model, texts, "whitened")

    checkpoint = paths.run / "checkpoint"
    write_checkpoint(model, checkpoint, paths.tokenizer)
    content = {"settings": dataclasses.asdict(settings), "validation": measured}
    (paths.run / "log.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return checkpoint


def _measured(model: SentenceEncoder, texts: TrainingTexts, when: str) -> Mapping[str, float]:
    measures = validation_measures(TextEncoder(model, model.dense.weight.device), texts)
    figures = ", ".join(f"{name} {value:.3f}" for name, value in measures.items())
    sys.stderr.write(f"validation, {when}: {figures}\n")
    return measures


def _texts(
    tokenizer: Tokenizer,
    paragraphs: Sequence[Paragraph],
    described: DocumentationTexts,
    teacher: Encode,
) -> TrainingTexts:
    sys.stderr.write("reading texts\n")
    corpus = [paragraph for paragraph in paragraphs if not paragraph.is_extra]
    more = [paragraph for paragraph in paragraphs if paragraph.is_extra]
    return TrainingTexts(
        train=training_examples(tokenizer, corpus, teacher),
        validation=paragraph_examples(tokenizer, paragraphs_of(corpus, "validation"), None),
        documentation=documentation_examples(tokenizer, described, teacher),
        sentences=sentence_examples(tokenizer, paragraphs, described.summaries, teacher),
        more=more_examples(tokenizer, more, teacher),
    )
