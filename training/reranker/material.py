"""From a corpus and an encoder to candidate lists, by part of the split and kind of query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from encoder_svc.query_model_choice import LAST_RESORT
from encoder_svc.query_models import RULES, QueryModel
from evaluation.querysets import QuerySetError, text_fingerprint
from rerank_svc.candidates import QueryKind
from retrieval_core.articles import article_key
from retrieval_core.projection import projection_matrix
from retrieval_core.vectors import Float32Matrix
from training.encoder.corpus import Paragraph
from training.reranker.encode import TextEncoder, cached_vectors
from training.reranker.lists import (
    CANDIDATE_COUNT,
    CandidateLists,
    Searchable,
    VectorQuery,
    build_lists,
)
from training.reranker.queries import (
    Question,
    Window,
    question_queries,
    sample_questions,
    sample_windows,
    window_queries,
)
from training.split import Part

QUERY_LIMITS: Mapping[Part, int] = MappingProxyType(
    {"train": 12_000, "validation": 2_500, "evaluation": 5_000}
)

# What the passages of each part are searched among. Training never meets a passage of the other
# articles, not even as a wrong answer; the evaluation has to find its own among all of them.
SEARCHED_PARTS: Mapping[Part, tuple[Part, ...]] = MappingProxyType(
    {
        "train": ("train",),
        "validation": ("train", "validation"),
        "evaluation": ("train", "validation", "evaluation"),
    }
)

_SHORT_LIST_SHARE = 0.2
_SHORT_LIST_COUNTS = (10, 20, 30, 40)
_SEED = 3


@dataclass(frozen=True, slots=True)
class ContextModels:
    """The query model that is served, and the rule that training searches with besides.

    A learned query model was fitted to the very articles that the reranker learns from. There it
    finds more than on others, and a reranker that saw that alone would trust its scores too much;
    one that saw the rule's alone would not know what the served one finds.
    """

    served: QueryModel
    rule: QueryModel = RULES[LAST_RESORT]

    @property
    def names(self) -> str:
        """The names of both, or of the one that is both."""
        return ", ".join(dict.fromkeys((self.served.name, self.rule.name)))


@dataclass(frozen=True)
class Material:
    """A corpus with vectors: paragraphs and vectors [n, 768] row by row, and queries by part.

    `question_vectors[part]` is [questions of the part, 768].
    """

    paragraphs: Sequence[Paragraph]
    vectors: Float32Matrix
    questions: Mapping[Part, Sequence[Question]]
    question_vectors: Mapping[Part, Float32Matrix]
    windows: Mapping[Part, Sequence[Window]]
    models: ContextModels

    def queries(
        self, kind: QueryKind, part: Part, model: QueryModel | None = None
    ) -> list[VectorQuery]:
        """The queries of one kind whose answers are in articles of `part`.

        Contexts are asked with `model`, or the served one without it.
        """
        if kind is QueryKind.CONTEXT:
            windows, asked = self.windows[part], model or self.models.served
            return window_queries(windows, self.vectors, self.paragraphs, asked)
        return question_queries(self.questions[part], self.question_vectors[part], self.paragraphs)

    def searchable(self, part: Part) -> Searchable:
        """The passages that queries of `part` are searched among."""
        wanted = SEARCHED_PARTS[part]
        rows = [row for row, paragraph in enumerate(self.paragraphs) if paragraph.part in wanted]
        keys = np.array(
            [article_key(paragraph.article) for paragraph in self.paragraphs], np.uint64
        )
        return Searchable.of(np.array(rows), self.vectors, keys, projection_matrix())

    def lists(self, kind: QueryKind, part: Part, model: QueryModel | None = None) -> CandidateLists:
        """The candidate lists of one kind and part; some lists of training are shortened."""
        queries = self.queries(kind, part, model)
        counts = _list_counts(len(queries), is_training=part == "train")
        return build_lists(queries, self.searchable(part), projection_matrix(), counts)

    def training_lists(self, kind: QueryKind) -> CandidateLists:
        """What is learned from: contexts as the served model finds them and as the rule does."""
        found = self.lists(kind, "train")
        models = self.models
        if kind is QueryKind.QUESTION or models.rule.name == models.served.name:
            return found
        return found.joined(self.lists(kind, "train", models.rule))


def encode_material(
    paragraphs: Sequence[Paragraph],
    encoder: TextEncoder,
    cache: Path,
    models: ContextModels,
    limits: Mapping[Part, int] = QUERY_LIMITS,
) -> Material:
    """Sample queries and encode everything that is needed; vectors are kept under `cache`."""
    questions = sample_questions(paragraphs, limits)
    texts = [paragraph.text for paragraph in paragraphs]
    return Material(
        paragraphs=paragraphs,
        vectors=cached_vectors(encoder, texts, "paragraphs", cache),
        questions=questions,
        question_vectors={
            part: cached_vectors(
                encoder, [question.text for question in asked], f"questions-{part}", cache
            )
            for part, asked in questions.items()
        },
        windows=sample_windows(paragraphs, limits),
        models=models,
    )


def check_disjoint(paragraphs: Sequence[Paragraph]) -> None:
    """QuerySetError if an evaluated text occurs in an article that is trained on.

    Articles cannot be shared, since their titles decide the part; texts could be copied.
    """
    known = {text_fingerprint(p.text) for p in paragraphs if p.part != "evaluation"}
    shared = sum(text_fingerprint(p.text) in known for p in paragraphs if p.part == "evaluation")
    if shared:
        raise QuerySetError(f"{shared} passages of the evaluation are in training articles too")


def _list_counts(count: int, *, is_training: bool) -> list[int]:
    # The gateway sends fewer candidates when time is short: the network has to know such lists.
    if not is_training:
        return [CANDIDATE_COUNT] * count
    generator = np.random.default_rng(_SEED)
    is_short = generator.random(count) < _SHORT_LIST_SHARE
    short = generator.choice(_SHORT_LIST_COUNTS, count)
    return [int(value) for value in np.where(is_short, short, CANDIDATE_COUNT)]
