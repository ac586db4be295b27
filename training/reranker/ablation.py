"""What each feature is worth: the network fitted again without it, on the same lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from evaluation.intervals import paired_difference
from evaluation.measures import recall_at, reciprocal_rank
from rerank_svc.candidates import QueryKind
from rerank_svc.features import FEATURE_NAMES
from training.reranker.card import AblationRow
from training.reranker.fit import FitOptions, Ranker, Report, fit_ranker
from training.reranker.lists import CandidateLists
from training.reranker.outcome import judge

LIST_COUNT = 4_000
OPTIONS = FitOptions(epochs=5, patience=5)


def ablation_rows(
    kind: QueryKind,
    training: CandidateLists,
    validation: CandidateLists,
    evaluation: CandidateLists,
    report: Report,
) -> Iterator[AblationRow]:
    """A row for each feature that says anything for this kind of query.

    Both networks of a comparison are fitted shorter than the one that is shipped, and on fewer
    lists; differences between seeds are of the size of the smallest rows.
    """
    training = training.at(np.arange(min(LIST_COUNT, len(training))))
    whole = fit_ranker(training, validation, OPTIONS, report)
    for number, feature in enumerate(FEATURE_NAMES):
        if not training.features[..., number].any():
            continue
        without = fit_ranker(
            _without(training, number), _without(validation, number), OPTIONS, lambda _: None
        )
        row = _row(feature, kind, evaluation, whole, without)
        report(f"without {feature}: R@5 {row.recall_at_5.mean:+.4f}")
        yield row


def _row(
    feature: str, kind: QueryKind, evaluation: CandidateLists, whole: Ranker, without: Ranker
) -> AblationRow:
    number = FEATURE_NAMES.index(feature)
    before = judge(evaluation, whole.scores(evaluation.features))
    after = judge(evaluation, without.scores(_without(evaluation, number).features))
    return AblationRow(
        feature,
        kind,
        paired_difference(recall_at(before, 5), recall_at(after, 5), evaluation.articles),
        paired_difference(
            reciprocal_rank(before, 10), reciprocal_rank(after, 10), evaluation.articles
        ),
    )


def _without(lists: CandidateLists, number: int) -> CandidateLists:
    features = lists.features.copy()
    features[..., number] = 0.0
    return dataclasses.replace(lists, features=features)
