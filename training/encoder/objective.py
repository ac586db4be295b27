"""The loss of one batch: questions to paragraphs, names to documentation, teacher, neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.encoder.batches import at_most_each, drop_tokens, local_following
from training.encoder.examples import TrainingTexts
from training.encoder.losses import (
    contrastive_loss,
    cosine_distance,
    neighbour_loss,
    similarity_distillation,
)
from training.encoder.model import SentenceEncoder
from training.encoder.settings import StageSettings
from training.encoder.tokens import Rows, TokenRows

TOKENS_PER_FORWARD = 8192


@dataclass(frozen=True)
class TextRows:
    """Some rows of tokenised texts, each cut to `limit` tokens."""

    tokens: TokenRows
    rows: Rows
    limit: int


class TextEncoder:
    """Encodes rows of tokens with the token table alone or with the blocks, on one device."""

    def __init__(self, model: SentenceEncoder, device: torch.device, *, blocks: bool) -> None:
        self._model, self._device, self._blocks = model, device, blocks

    def encode(
        self,
        parts: Sequence[TextRows],
        drop: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> list[Tensor]:
        """For each part float32 [r, 768], unit norm, in the order of its rows.

        With the token table alone, each token is left out with probability `drop`. All parts share
        one look-up there: its gradient is as large as the table, whatever the number of texts.
        """
        if self._blocks:
            return [self._encode_blocks(part) for part in parts]
        flat = [part.tokens.flat(part.rows, part.limit) for part in parts]
        ids = np.concatenate([ids for ids, _ in flat])
        shifts = np.cumsum([0, *(len(ids) for ids, _ in flat)])
        offsets = np.concatenate(
            [starts + shift for (_, starts), shift in zip(flat, shifts, strict=False)]
        )
        if drop and rng is not None:
            ids, offsets = drop_tokens(ids, offsets, drop, rng)
        vectors = self._model.forward_bag(self._tensor(ids), self._tensor(offsets))
        return list(torch.split(vectors, [len(part.rows) for part in parts]))

    def _encode_blocks(self, part: TextRows) -> Tensor:
        lengths = np.minimum(part.tokens.lengths[part.rows], part.limit)
        order = np.argsort(lengths, kind="stable")
        vectors = [
            self._forward(part.tokens, part.rows[order[chunk]], part.limit)
            for chunk in _token_chunks(lengths[order])
        ]
        return torch.cat(vectors)[self._tensor(np.argsort(order))]

    def _forward(self, tokens: TokenRows, rows: Rows, limit: int) -> Tensor:
        ids, mask = (self._tensor(part) for part in tokens.padded(rows, limit))
        with torch.autocast(self._device.type, torch.bfloat16):
            vectors: Tensor = self._model(ids, mask)
        return vectors

    def _tensor(self, array: np.typing.NDArray[np.integer]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).long().to(self._device)


def encode_all(encoder: TextEncoder, tokens: TokenRows, limit: int) -> Tensor:
    """Every text of `tokens`, [n, 768], in blocks of about a thousand."""
    blocks = np.array_split(np.arange(len(tokens)), max(1, len(tokens) // 1024))
    return torch.cat([encoder.encode([TextRows(tokens, rows, limit)])[0] for rows in blocks])


class Objective:
    """Holds the examples and makes the loss of a batch of paragraphs and one of definitions."""

    def __init__(
        self,
        encoder: TextEncoder,
        texts: TrainingTexts,
        isometry: Tensor,
        settings: StageSettings,
        rng: np.random.Generator,
    ) -> None:
        self._encoder, self._settings, self._rng = encoder, settings, rng
        self._paragraphs, self._documentation = texts.train, texts.documentation
        self._isometry = isometry

    def loss(self, rows: Rows, definitions: Rows) -> Tensor:
        """The weighted sum over both batches, a scalar."""
        settings, texts = self._settings, self._documentation
        questions, owners = self._paragraphs.questions_of(rows)
        kept = at_most_each(owners, settings.questions_per_paragraph, self._rng)
        questions, owners = questions[kept], owners[kept]
        short, long = settings.question_tokens, settings.paragraph_tokens
        asked, found, *documentation = self._encoder.encode(
            [
                TextRows(self._paragraphs.questions, questions, short),
                TextRows(self._paragraphs.paragraphs, rows, long),
                TextRows(texts.names, definitions, short),
                TextRows(texts.summaries, definitions, short),
                TextRows(texts.passages, definitions, long),
                TextRows(texts.bodies, definitions, long),
            ],
            settings.token_drop,
            self._rng,
        )
        loss = self._question_loss(asked, found, owners)
        loss = loss + settings.neighbour_weight * self._neighbour_loss(found, rows)
        loss = loss + self._teacher_loss(asked, found, questions, rows)
        return loss + settings.definition_weight * self._definition_loss(documentation, definitions)

    def _question_loss(self, asked: Tensor, found: Tensor, owners: Rows) -> Tensor:
        right = torch.from_numpy(owners).to(found.device)
        return contrastive_loss(asked, found, right, self._settings.temperature)

    def _neighbour_loss(self, found: Tensor, rows: Rows) -> Tensor:
        following = torch.from_numpy(local_following(self._paragraphs.following, rows))
        return neighbour_loss(found, following.to(found.device), self._settings.temperature)

    def _teacher_loss(
        self, asked: Tensor, found: Tensor, questions: Rows, rows: Rows
    ) -> Tensor | float:
        settings, examples = self._settings, self._paragraphs
        if examples.question_targets is None or examples.paragraph_targets is None:
            return 0.0
        asked_target = self._target(examples.question_targets, questions)
        found_target = self._target(examples.paragraph_targets, rows)
        distance = cosine_distance(asked, asked_target) + cosine_distance(found, found_target)
        ranking = similarity_distillation(
            asked, found, asked_target, found_target, settings.teacher_temperature
        )
        return distance * settings.distance_weight + ranking * settings.ranking_weight

    def _definition_loss(self, vectors: Sequence[Tensor], rows: Rows) -> Tensor:
        settings, targets = self._settings, self._documentation.summary_targets
        names, summaries, passages, bodies = vectors
        right = torch.arange(len(rows), device=names.device)
        loss = contrastive_loss(names, passages, right, settings.temperature)
        loss = loss + contrastive_loss(summaries, bodies, right, settings.temperature)
        if targets is not None:
            distance = cosine_distance(summaries, self._target(targets, rows))
            loss = loss + distance * settings.distance_weight
        return loss * 0.5

    def _target(self, targets: Tensor, rows: Rows) -> Tensor:
        chosen = targets[torch.from_numpy(rows)].float().to(self._isometry.device)
        return chosen @ self._isometry


def _token_chunks(lengths: Rows) -> list[Rows]:
    """Places of ascending `lengths`, cut so that a padded chunk has few tokens beyond its own."""
    chunks: list[Rows] = []
    start = 0
    for place in range(1, len(lengths) + 1):
        full = place < len(lengths) and (
            (place + 1 - start) * lengths[place] > TOKENS_PER_FORWARD
            or lengths[place] > 1.5 * lengths[start] + 4
        )
        if full or place == len(lengths):
            chunks.append(np.arange(start, place))
            start = place
    return chunks
