"""A corpus as vectors: paragraphs, and pieces of them, with their windows by part of the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from building.cutting import DEFAULT_MAX_TOKENS, Cutter
from building.records import Origin, Record
from building.tokens import FastTokenCounter
from encoder_svc.manifest import TOKENIZER_NAME
from retrieval_core.vectors import Float32Matrix
from training.encoder.corpus import Paragraph
from training.query_models.measures import Candidates
from training.query_models.windows import Rows, Windows, windows_of
from training.reranker.encode import TextEncoder, cached_vectors
from training.split import Part

SEARCHED_PARTS: Mapping[Part, tuple[Part, ...]] = {
    "train": ("train",),
    "validation": ("train", "validation"),
    "evaluation": ("train", "validation", "evaluation"),
}
"""What the windows of each part are searched among; training never meets another part."""


@dataclass(frozen=True, slots=True)
class Passages:
    """vectors [n, 768] unit rows, and the number of each row's article, [n]."""

    vectors: Float32Matrix
    articles: Rows
    windows: Windows


@dataclass(frozen=True)
class Material:
    """What is trained and measured on; `pieces` are of training articles alone, or absent."""

    paragraphs: Passages
    parts: Sequence[Part]
    titles: Sequence[str]
    pieces: Passages | None = None

    def windows(self, part: Part, *, whole: bool = False) -> Windows:
        """The windows of a part; `whole` leaves out those of fewer than five items."""
        windows = self.paragraphs.windows
        chosen = np.array([self.parts[row] == part for row in windows.golds])
        if whole:
            chosen &= windows.lengths == windows.contexts.shape[1]
        return windows.take(chosen)

    def candidates(self, part: Part) -> Candidates:
        """The paragraphs that windows of `part` are searched among."""
        wanted = SEARCHED_PARTS[part]
        rows = np.flatnonzero([each in wanted for each in self.parts]).astype(np.int64)
        return Candidates(rows, self.paragraphs.vectors[rows])

    def training_passages(self, *, with_pieces: bool = True) -> list[Passages]:
        """What is learned from: paragraphs of training articles, and pieces if there are any."""
        whole = _training_part(self.paragraphs, self.parts)
        return [whole, self.pieces] if with_pieces and self.pieces is not None else [whole]


def encode_material(
    paragraphs: Sequence[Paragraph], encoder: TextEncoder, cache: Path, tokenizer: Path | None
) -> Material:
    """Encode all paragraphs, and with a tokenizer's file also the pieces of those of training."""
    titles = sorted({paragraph.article for paragraph in paragraphs})
    texts = [paragraph.text for paragraph in paragraphs]
    vectors = cached_vectors(encoder, texts, "paragraphs", cache)
    places = {title: number for number, title in enumerate(titles)}
    articles = [places[paragraph.article] for paragraph in paragraphs]
    positions = [paragraph.position for paragraph in paragraphs]
    pieces = None
    if tokenizer is not None:
        pieces = _encode_pieces(paragraphs, articles, encoder, cache, tokenizer)
    return Material(
        paragraphs=Passages(vectors, np.array(articles), windows_of(articles, positions)),
        parts=[paragraph.part for paragraph in paragraphs],
        titles=titles,
        pieces=pieces,
    )


def tokenizer_of(folder: Path) -> Path:
    """The tokenizer's file of an encoder's folder."""
    return folder / TOKENIZER_NAME


def _encode_pieces(
    paragraphs: Sequence[Paragraph],
    articles: Sequence[int],
    encoder: TextEncoder,
    cache: Path,
    tokenizer: Path,
) -> Passages:
    """Paragraphs of training articles, cut at sentence ends as a build would cut them."""
    cutter = Cutter(FastTokenCounter.load(tokenizer), DEFAULT_MAX_TOKENS)
    texts: list[str] = []
    owners: list[int] = []
    for paragraph, article in zip(paragraphs, articles, strict=True):
        if paragraph.part != "train":
            continue
        record = Record(Origin(paragraph.article), paragraph.article, "default", paragraph.text)
        pieces = cutter.cut(record)
        texts.extend(pieces)
        owners.extend([article] * len(pieces))
    vectors = cached_vectors(encoder, texts, f"pieces-{DEFAULT_MAX_TOKENS}", cache)
    return Passages(vectors, np.array(owners), windows_of(owners, range(len(owners))))


def _training_part(paragraphs: Passages, parts: Sequence[Part]) -> Passages:
    """The training articles alone, rows numbered anew."""
    rows = np.flatnonzero([part == "train" for part in parts])
    places = np.full(len(parts) + 1, -1, np.int64)
    places[rows] = np.arange(len(rows))
    windows = paragraphs.windows
    of_training = windows.take(places[windows.golds] >= 0)
    # The last place stands for padding, whose row is -1.
    renumbered = Windows(
        places[of_training.contexts], places[of_training.golds], of_training.articles
    )
    return Passages(paragraphs.vectors[rows], paragraphs.articles[rows], renumbered)
