"""The reference of knowing the article alone is what trying all orders gives."""

from __future__ import annotations

from itertools import permutations
from statistics import fmean

import pytest

from evaluation.querysets import ContextItem, EvaluationQuery
from evaluation.reference import (
    article_reference,
    expected_containment,
    expected_reciprocal_rank,
)
from evaluation.release_passages import ReleasePassages
from tests.support.tiny_release import passage_table


@pytest.mark.parametrize(("count", "gold_count", "k"), [(1, 1, 5), (5, 1, 2), (6, 2, 3), (6, 3, 9)])
def test_closed_forms_equal_all_orders(count: int, gold_count: int, k: int) -> None:
    ranks = [min(order[:gold_count]) + 1 for order in permutations(range(count))]
    contained = fmean(float(rank <= k) for rank in ranks)
    reciprocal = fmean(1 / rank if rank <= k else 0.0 for rank in ranks)
    assert expected_containment(count, gold_count, k) == pytest.approx(contained)
    assert expected_reciprocal_rank(count, gold_count, k) == pytest.approx(reciprocal)


def test_the_context_is_no_candidate() -> None:
    passages = ReleasePassages("sha256:0", passage_table(["a"] * 15))  # five an article
    alone = EvaluationQuery("q", "article-1", (7,), text="?")
    after_two = EvaluationQuery(
        "w", "article-1", (7,), context=(ContextItem(5, "x"), ContextItem(6, "y"))
    )
    assert article_reference([alone], passages)["R@1"] == pytest.approx(1 / 5)
    assert article_reference([after_two], passages)["R@1"] == pytest.approx(1 / 3)
    assert article_reference([alone, after_two], passages)["Contain@50"] == 1.0
