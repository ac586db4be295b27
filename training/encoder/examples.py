"""Everything one training run learns from, as token ids and the teacher's vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.encoder.corpus import Paragraph, paragraphs_of
from training.encoder.texts import (
    DocumentationTexts,
    ParagraphTexts,
    paragraph_texts,
    split_sentences,
)
from training.encoder.tokens import Rows, TokenRows, tokenize

LOWERED_SHARE = 3

Encode = Callable[[Sequence[str], str], "np.typing.NDArray[np.float16]"]


@dataclass(frozen=True)
class ParagraphExamples:
    """Paragraphs and questions; `owners[i]` is the paragraph of question i.

    Targets are the teacher's vectors, [n, 384] float16 on the CPU, or None without a teacher.
    """

    paragraphs: TokenRows
    questions: TokenRows
    owners: Rows
    following: Rows
    paragraph_targets: Tensor | None = None
    question_targets: Tensor | None = None


@dataclass(frozen=True)
class DocumentationExamples:
    """Row i of every field belongs to the same documented definition."""

    names: TokenRows
    summaries: TokenRows
    passages: TokenRows
    summary_targets: Tensor | None = None


@dataclass(frozen=True)
class SentenceExamples:
    """Sentences of the training paragraphs, and short texts in lower case.

    With the teacher's vectors, [n, 384] float16, or None.
    """

    tokens: TokenRows
    targets: Tensor | None = None


@dataclass(frozen=True)
class MoreExamples:
    """Paragraphs without questions with the teacher's vectors, [n, 384] float16 or None."""

    tokens: TokenRows
    targets: Tensor | None = None


@dataclass(frozen=True)
class TrainingTexts:
    """The sets of examples of a run.

    more: paragraphs of further texts; their sentences are among `sentences` too.
    """

    train: ParagraphExamples
    validation: ParagraphExamples
    documentation: DocumentationExamples
    sentences: SentenceExamples
    more: MoreExamples


def paragraph_examples(
    tokenizer: Tokenizer, paragraphs: Sequence[Paragraph], teacher: Encode | None
) -> ParagraphExamples:
    """The examples of `paragraphs`, which hold one part of the split in article order."""
    texts: ParagraphTexts = paragraph_texts(paragraphs)
    return ParagraphExamples(
        paragraphs=tokenize(tokenizer, texts.paragraphs),
        questions=tokenize(tokenizer, texts.questions),
        owners=np.array(texts.owners, dtype=np.int64),
        following=np.array(texts.following, dtype=np.int64),
        paragraph_targets=_targets(teacher, texts.paragraphs, "paragraphs"),
        question_targets=_targets(teacher, texts.questions, "questions"),
    )


def training_examples(
    tokenizer: Tokenizer, paragraphs: Sequence[Paragraph], teacher: Encode | None
) -> ParagraphExamples:
    """The examples of the training articles, with the teacher's vectors where there is one."""
    return paragraph_examples(tokenizer, paragraphs_of(paragraphs, "train"), teacher)


def more_examples(
    tokenizer: Tokenizer, more: Sequence[Paragraph], teacher: Encode | None
) -> MoreExamples:
    """The paragraphs of further texts, with the teacher's vectors where there is one."""
    texts = [paragraph.text for paragraph in more]
    return MoreExamples(tokenize(tokenizer, texts), _targets(teacher, texts, "paragraphs"))


def sentence_examples(
    tokenizer: Tokenizer,
    paragraphs: Sequence[Paragraph],
    summaries: Sequence[str],
    teacher: Encode | None,
) -> SentenceExamples:
    """Every sentence of `paragraphs` to train on, with the teacher's vectors where there is one.

    One in LOWERED_SHARE of them, the articles' questions and `summaries` follow in lower case,
    since people type queries so. The teacher reads no case, so its vectors are those of the texts
    as they are.
    """
    train = paragraphs_of(paragraphs, "train")
    sentences = [sentence for p in train for sentence in split_sentences(p.text)]
    questions = [question for p in train for question in p.questions]
    lowered = [*sentences[::LOWERED_SHARE], *questions, *summaries]
    texts = [*sentences, *(text.lower() for text in lowered)]
    targets = _targets(teacher, [*sentences, *lowered], "sentences")
    return SentenceExamples(tokenize(tokenizer, texts), targets)


def documentation_examples(
    tokenizer: Tokenizer, texts: DocumentationTexts, teacher: Encode | None
) -> DocumentationExamples:
    """The examples of documented names, with the teacher's vectors where there is one."""
    return DocumentationExamples(
        names=tokenize(tokenizer, texts.names),
        summaries=tokenize(tokenizer, texts.summaries),
        passages=tokenize(tokenizer, texts.passages),
        summary_targets=_targets(teacher, texts.summaries, "summaries"),
    )


def _targets(teacher: Encode | None, texts: Sequence[str], label: str) -> Tensor | None:
    if teacher is None or not texts:
        return None
    return torch.from_numpy(np.asarray(teacher(texts, label)))
