"""Where the wanted passages rank among all candidates, the context left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.intervals import Interval, paired_difference
from evaluation.measures import PerQuery, all_measures, judge_gold_ranks
from retrieval_core.vectors import Float32Matrix
from training.query_models.windows import PADDING, Rows, Windows

REPORTED = ("R@1", "R@5", "MRR@10", "Contain@50")
_WINDOWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is searched: vectors [m, 768] and the corpus row of each, ascending."""

    rows: Rows
    vectors: Float32Matrix


def gold_ranks(queries: Float32Matrix, windows: Windows, candidates: Candidates) -> Rows:
    """Rank from 1 of each window's gold for queries [n, 768]; its context is no candidate.

    Equal scores count as ranked before it, so that no tie is a success.
    """
    ranks = np.empty(len(windows), np.int64)
    contexts = np.searchsorted(candidates.rows, windows.contexts)
    golds = np.searchsorted(candidates.rows, windows.golds)
    for start in range(0, len(windows), _WINDOWS_AT_ONCE):
        block = slice(start, start + _WINDOWS_AT_ONCE)
        scores = queries[block] @ candidates.vectors.T
        number, place = np.nonzero(windows.contexts[block] != PADDING)
        scores[number, contexts[block][number, place]] = -np.inf
        wanted = np.take_along_axis(scores, golds[block, None], axis=1)
        ranks[block] = (scores >= wanted).sum(axis=1)
    return ranks


def measure(ranks: Rows) -> Mapping[str, PerQuery]:
    """The reported measures, one value a window."""
    found = all_measures(judge_gold_ranks(ranks))
    return {name: found[name] for name in REPORTED}


def means(measures: Mapping[str, PerQuery]) -> dict[str, float]:
    """The mean of every measure."""
    return {name: float(values.mean()) for name, values in measures.items()}


def selection_score(measures: Mapping[str, PerQuery]) -> float:
    """What models are chosen by, on validation articles: the mean of three measures."""
    return float(np.mean([measures[name].mean() for name in ("R@5", "MRR@10", "Contain@50")]))


def differences(
    before: Mapping[str, PerQuery], after: Mapping[str, PerQuery], windows: Windows
) -> dict[str, Interval]:
    """Paired differences, drawn article by article."""
    groups = [str(article) for article in windows.articles.tolist()]
    return {name: paired_difference(before[name], after[name], groups) for name in after}
