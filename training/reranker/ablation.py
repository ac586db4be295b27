"""What each feature is worth: the network fitted again without it, on the same lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from evaluation.intervals import paired_difference
from evaluation.measures import recall_at, reciprocal_rank
from rerank_svc.candidates import QueryKind
from rerank_svc.features import FEATURE_NAMES
from training.reranker.card import AblationRow
from training.reranker.fit import FitOptions, Report, fit_ranker
from training.reranker.lists import CandidateLists
from training.reranker.network import Floats
from training.reranker.outcome import judge

LIST_COUNT = 4_000
OPTIONS = FitOptions(epochs=5, patience=5)


GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "all of scores": FEATURE_NAMES[: FEATURE_NAMES.index("article_count")],
        "all of articles": tuple(name for name in FEATURE_NAMES if name.startswith("article_")),
        "all of neighbours": FEATURE_NAMES[
            FEATURE_NAMES.index("higher_max") : FEATURE_NAMES.index("context_last")
        ],
        "all of context": tuple(name for name in FEATURE_NAMES if name.startswith("context_")),
    }
)
"""What is taken away together: single features have neighbours that say nearly the same."""


def ablation_rows(
    kind: QueryKind,
    training: CandidateLists,
    validation: CandidateLists,
    evaluation: CandidateLists,
    report: Report,
) -> Iterator[AblationRow]:
    """A row for each group and each feature that says anything for this kind of query.

    Both networks of a comparison are fitted shorter than the one that is shipped, and on fewer
    lists; differences between seeds are of the size of the smallest rows.
    """
    training = training.at(np.arange(min(LIST_COUNT, len(training))))
    whole = fit_ranker(training, validation, OPTIONS, report)
    single = {f"`{name}`": (name,) for name in FEATURE_NAMES}
    for label, names in {**GROUPS, **single}.items():
        numbers = [FEATURE_NAMES.index(name) for name in names]
        if not training.features[..., numbers].any():
            continue
        without = fit_ranker(
            _without(training, numbers), _without(validation, numbers), OPTIONS, lambda _: None
        )
        row = _row(
            label,
            kind,
            evaluation,
            whole.scores(evaluation.features),
            without.scores(_without(evaluation, numbers).features),
        )
        report(f"without {label}: R@5 {row.recall_at_5.mean:+.4f}")
        yield row


def _row(
    label: str, kind: QueryKind, evaluation: CandidateLists, whole: Floats, without: Floats
) -> AblationRow:
    before, after = judge(evaluation, whole), judge(evaluation, without)
    return AblationRow(
        label,
        kind,
        paired_difference(recall_at(before, 5), recall_at(after, 5), evaluation.articles),
        paired_difference(
            reciprocal_rank(before, 10), reciprocal_rank(after, 10), evaluation.articles
        ),
    )


def _without(lists: CandidateLists, numbers: Sequence[int]) -> CandidateLists:
    features = lists.features.copy()
    features[..., numbers] = 0.0
    return dataclasses.replace(lists, features=features)
