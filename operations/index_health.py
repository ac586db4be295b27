"""How an index has aged: lengths of its lists, and how far the corpus has outgrown it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from evaluation.index_files import IndexFile
from evaluation.intervals import Verdict
from index_svc.artifacts import imbalance_ratio, list_sizes
from operations.evidence import MOST_CORPUS_GROWTH, MOST_IMBALANCE


@dataclass(frozen=True, slots=True)
class IndexHealth:
    """Lengths of the lists, and passages of the corpus now over those trained on, minus 1.

    `corpus_count` and `growth_ratio` are None where nobody keeps the corpus as it is now. The
    verdict is FAIL where the lists are too unequal or the corpus has grown too far.
    """

    list_count: int
    passage_count: int
    empty_list_count: int
    smallest_list: int
    median_list: float
    p95_list: float
    largest_list: int
    imbalance_ratio: float
    corpus_count: int | None
    growth_ratio: float | None
    notes: tuple[str, ...]
    verdict: Verdict


def index_health(ivf: IndexFile, corpus_count: int | None) -> IndexHealth:
    """The health of an IVF index, beside a corpus of `corpus_count` passages."""
    index = cast(Any, ivf.index)
    sizes = np.array(list_sizes(index))
    growth = None if corpus_count is None else corpus_count / len(ivf) - 1.0
    ratio = imbalance_ratio(index)
    notes = _notes(ratio, growth)
    return IndexHealth(
        list_count=len(sizes),
        passage_count=len(ivf),
        empty_list_count=int((sizes == 0).sum()),
        smallest_list=int(sizes.min()),
        median_list=float(np.median(sizes)),
        p95_list=float(np.quantile(sizes, 0.95)),
        largest_list=int(sizes.max()),
        imbalance_ratio=ratio,
        corpus_count=corpus_count,
        growth_ratio=growth,
        notes=notes,
        verdict=Verdict.FAIL if notes else Verdict.PASS,
    )


def _notes(ratio: float, growth: float | None) -> tuple[str, ...]:
    notes = []
    if ratio > MOST_IMBALANCE:
        notes.append(f"the largest list is {ratio:.1f} times the mean: train with more --nlist")
    if growth is not None and abs(growth) > MOST_CORPUS_GROWTH:
        word = "grown" if growth > 0 else "shrunk"
        notes.append(
            f"the corpus has {word} by {abs(growth):.0%} since the index was trained: build a "
            "release of it as it is now"
        )
    return tuple(notes)
