"""The piece vectors of the token table, fitted to the teacher's vectors of whole texts."""

from __future__ import annotations

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.encoder.examples import Encode, TrainingTexts
from training.encoder.regression import fit_pieces, token_matrix
from training.encoder.settings import RunSettings
from training.encoder.start import (
    PieceVectors,
    main_directions,
    piece_texts,
    piece_weights,
    shared_rows,
)
from training.encoder.tokens import Rows, TokenRows

QUESTION_SHARE = 4  # one question in so many counts for the main directions


class NoTeacherError(ValueError):
    """Examples without the teacher's vectors, which the regression needs."""


def fitted_pieces(
    tokenizer: Tokenizer, texts: TrainingTexts, settings: RunSettings, teacher: Encode
) -> PieceVectors:
    """Fits one vector a piece to paragraphs, questions, summaries and sentences together.

    The regression starts from the teacher's vectors of the pieces themselves, and stays with them
    where no text says more. Raises NoTeacherError.
    """
    rows, start = settings.shape.vocab_size, settings.start
    fit, train, more = start.regression, texts.train, texts.more
    weights = piece_weights((train.paragraphs, more.tokens), rows)
    kinds = (
        (train.paragraphs, train.paragraph_targets, fit.paragraph_weight),
        (train.questions, train.question_targets, fit.short_weight),
        (texts.documentation.summaries, texts.documentation.summary_targets, fit.short_weight),
        (texts.sentences.tokens, texts.sentences.targets, fit.short_weight),
        (more.tokens, more.targets, fit.paragraph_weight),
    )
    equations = [
        (token_matrix(tokens, weights, settings.damping, scale), _known(targets, tokens) * scale)
        for tokens, targets, scale in kinds
        if len(tokens)
    ]
    pieces = torch.from_numpy(teacher(piece_texts(tokenizer, rows), "pieces")).float()
    centred = torch.nn.functional.normalize(pieces - pieces.mean(0), dim=1)
    vectors = fit_pieces(equations, centred, fit)
    paragraphs = _known(train.paragraph_targets, train.paragraphs)
    questions = _known(train.question_targets, train.questions)[::QUESTION_SHARE]
    directions = main_directions(torch.cat([paragraphs, questions]), start.teacher_columns)
    counts = _piece_counts(texts, rows)
    vectors[counts == 0] = 0.0  # nothing but their codes, which are shared
    shared = torch.from_numpy(shared_rows(counts))
    return PieceVectors(vectors, directions, torch.from_numpy(weights), shared)


def _piece_counts(texts: TrainingTexts, rows: int) -> Rows:
    """How often each piece stands in the training texts, [rows]."""
    documentation = texts.documentation
    read = (
        texts.train.paragraphs,
        texts.train.questions,
        texts.more.tokens,
        texts.sentences.tokens,
        documentation.names,
        documentation.summaries,
        documentation.passages,
    )
    counts: Rows = np.zeros(rows, dtype=np.int64)
    for tokens in read:
        counts += np.bincount(tokens.ids, minlength=rows)
    return counts


def _known(targets: Tensor | None, tokens: TokenRows) -> Tensor:
    if targets is None or len(targets) != len(tokens):
        raise NoTeacherError("the regression needs the teacher's vector of every training text")
    return targets.float()
