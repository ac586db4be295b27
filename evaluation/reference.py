"""What someone reaches who knows the right article alone and puts its passages in any order.

Where articles are short this says what a figure is worth: Contain@50 comes almost for nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import comb
from statistics import fmean

from evaluation.measures import CONTAIN_DEPTHS, RECALL_DEPTHS
from evaluation.querysets import EvaluationQuery
from evaluation.release_passages import ReleasePassages


def article_reference(
    queries: Sequence[EvaluationQuery], passages: ReleasePassages
) -> dict[str, float]:
    """Expected means over the queries; the context is no candidate here either."""
    sizes = Counter(passages.article_ids)
    expected = [_of_query(query, passages, sizes) for query in queries]
    return {name: fmean(each[name] for each in expected) for name in expected[0]}


def _of_query(
    query: EvaluationQuery, passages: ReleasePassages, sizes: Mapping[str, int]
) -> dict[str, float]:
    article = passages.article_ids[passages.rows[query.gold_ids[0]]]
    context = passages.rows_of([item.passage_id for item in query.context])
    own = sum(passages.article_ids[row] == article for row in context)
    count, gold_count = sizes[article] - own, len(query.gold_ids)
    return {
        **{f"R@{k}": min(k, count) / count for k in RECALL_DEPTHS},
        "MRR@10": expected_reciprocal_rank(count, gold_count, 10),
        **{f"Contain@{k}": expected_containment(count, gold_count, k) for k in CONTAIN_DEPTHS},
    }


def expected_containment(count: int, gold_count: int, k: int) -> float:
    """Chance that the first k of `count` passages in random order hold any of the golds."""
    k = min(k, count)
    return 1.0 - comb(count - gold_count, k) / comb(count, k)


def expected_reciprocal_rank(count: int, gold_count: int, k: int) -> float:
    """Mean of 1 / rank of the first gold within k, over all orders of `count` passages."""
    total = comb(count, gold_count)
    return sum(
        comb(count - rank, gold_count - 1) / total / rank
        for rank in range(1, min(k, count - gold_count + 1) + 1)
    )
