"""The loss of one batch: questions, documentation, neighbours, contexts, and the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.encoder.bank import PassageBank
from training.encoder.batches import at_most_each, context_weights, local_following
from training.encoder.encoding import TextEncoder, TextRows
from training.encoder.examples import TrainingTexts
from training.encoder.losses import (
    context_loss,
    contrastive_loss,
    cosine_distance,
    geometry_loss,
    neighbour_loss,
    similarity_distillation,
)
from training.encoder.settings import StageSettings
from training.encoder.tokens import Rows

CONTEXT_LENGTH = 5
CONTEXT_FACTOR = 0.5


@dataclass(frozen=True)
class Batch:
    """Rows of the training texts that are encoded together."""

    paragraphs: Rows
    definitions: Rows
    sentences: Rows


@dataclass(frozen=True)
class _Candidates:
    """What the batch's passages are chosen among: themselves, then others. Vectors and rows."""

    vectors: Tensor
    rows: Rows


class Objective:
    """Holds the examples and makes the loss of a batch."""

    def __init__(
        self,
        encoder: TextEncoder,
        texts: TrainingTexts,
        isometry: Tensor,
        settings: StageSettings,
        rng: np.random.Generator,
    ) -> None:
        self._encoder, self._settings, self._rng = encoder, settings, rng
        self._texts, self._isometry = texts, isometry
        self._bank: PassageBank | None = None

    def use_bank(self, bank: PassageBank) -> None:
        """Chooses among passages of `bank` as well, as many as the settings say."""
        self._bank = bank

    def loss(self, batch: Batch) -> Tensor:
        """The weighted sum over all parts, a scalar."""
        train, rows = self._texts.train, batch.paragraphs
        questions, owners = train.questions_of(rows)
        kept = at_most_each(owners, self._settings.questions_per_paragraph, self._rng)
        questions, owners = questions[kept], owners[kept]
        asked, found, sentences, *documentation = self._encode(batch, questions)
        candidates = self._candidates(found, rows)
        loss = self._question_loss(asked, candidates, owners)
        loss = loss + self._order_loss(found, candidates)
        loss = loss + self._teacher_loss(asked, found, questions, candidates)
        loss = loss + self._sentence_loss(sentences, batch.sentences)
        if self._bank is not None:
            self._bank.put(rows, found)
        return loss + self._definition_loss(documentation, batch.definitions)

    def _encode(self, batch: Batch, questions: Rows) -> list[Tensor]:
        settings, texts = self._settings, self._texts
        short, long = settings.question_tokens, settings.paragraph_tokens
        names = texts.documentation
        parts = [
            TextRows(texts.train.questions, questions, short),
            TextRows(texts.train.paragraphs, batch.paragraphs, long),
            TextRows(texts.sentences.tokens, batch.sentences, settings.sentence_tokens),
            TextRows(names.names, batch.definitions, short),
            TextRows(names.summaries, batch.definitions, short),
            TextRows(names.bodies, batch.definitions, settings.body_tokens),
        ]
        if settings.names_find == "passages":
            parts.append(TextRows(names.passages, batch.definitions, settings.body_tokens))
        return self._encoder.encode(parts, settings.token_drop, self._rng)

    def _candidates(self, found: Tensor, rows: Rows) -> _Candidates:
        if self._bank is None:
            return _Candidates(found, rows)
        others, other_rows = self._bank.draw(self._settings.candidates, rows, self._rng)
        return _Candidates(torch.cat([found, others]), np.concatenate([rows, other_rows]))

    def _question_loss(self, asked: Tensor, candidates: _Candidates, owners: Rows) -> Tensor:
        right = torch.from_numpy(owners).to(asked.device)
        return contrastive_loss(asked, candidates.vectors, right, self._settings.temperature)

    def _order_loss(self, found: Tensor, candidates: _Candidates) -> Tensor:
        """Next passages from one passage and from a context of up to five."""
        settings, vectors = self._settings, candidates.vectors
        following = local_following(self._texts.train.following, candidates.rows[: len(found)])
        places = torch.from_numpy(following).to(found.device)
        loss = settings.neighbour_weight * neighbour_loss(
            found, vectors, places, settings.temperature
        )
        weights, targets = context_weights(following, CONTEXT_LENGTH, CONTEXT_FACTOR)
        return loss + settings.context_weight * context_loss(
            vectors,
            torch.from_numpy(weights).to(found.device),
            torch.from_numpy(targets).to(found.device),
            settings.temperature,
        )

    def _teacher_loss(
        self, asked: Tensor, found: Tensor, questions: Rows, candidates: _Candidates
    ) -> Tensor | float:
        settings, train = self._settings, self._texts.train
        if train.question_targets is None or train.paragraph_targets is None:
            return 0.0
        wanted = self._target(train.question_targets, questions)
        known = self._target(train.paragraph_targets, candidates.rows)
        ours, temperature = candidates.vectors, settings.temperature
        rows = known[: len(found)]
        distance = self._distance(asked, wanted) + self._distance(found, rows)
        ranking = similarity_distillation(asked, ours, wanted, known, temperature)
        geometry = geometry_loss(found, ours, rows, known, temperature)
        return (
            distance * settings.distance_weight
            + ranking * settings.ranking_weight
            + geometry * settings.geometry_weight
        )

    def _sentence_loss(self, sentences: Tensor, rows: Rows) -> Tensor | float:
        if self._texts.sentences.targets is None:
            return 0.0
        wanted = self._target(self._texts.sentences.targets, rows)
        return self._distance(sentences, wanted) * self._settings.sentence_weight

    def _definition_loss(self, vectors: Sequence[Tensor], rows: Rows) -> Tensor:
        settings, targets = self._settings, self._texts.documentation.summary_targets
        names, summaries, bodies, *passages = vectors
        right = torch.arange(len(rows), device=names.device)
        wanted = passages[0] if passages else bodies
        loss = contrastive_loss(names, wanted, right, settings.temperature)
        loss = loss + contrastive_loss(summaries, bodies, right, settings.temperature)
        if targets is not None:
            distance = self._distance(summaries, self._target(targets, rows))
            loss = loss + distance * settings.distance_weight
        return loss * 0.5 * settings.definition_weight

    def _target(self, targets: Tensor, rows: Rows) -> Tensor:
        return targets[torch.from_numpy(rows)].float().to(self._isometry.device)

    def _distance(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """From the teacher's vectors [n, 384], in all 768 directions or in the teacher's alone."""
        if self._settings.teacher_part:
            return cosine_distance(vectors @ self._isometry.T, targets)
        return cosine_distance(vectors, targets @ self._isometry)
