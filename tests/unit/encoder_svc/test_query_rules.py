"""The simple rules: weights, order, and contexts that have no direction."""

from __future__ import annotations

import numpy as np
import pytest

from encoder_svc.query_models import RULES, RecencyQueryModel, recency_weights
from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import Float32Matrix, normalize_rows


def axes(*numbers: int) -> Float32Matrix:
    return np.eye(768, dtype=np.float32)[list(numbers)]


def test_each_step_back_counts_half() -> None:
    np.testing.assert_allclose(recency_weights(3), [1 / 7, 2 / 7, 4 / 7])
    predicted = RULES["recency"].predict(axes(0, 1, 2))
    np.testing.assert_allclose(predicted, normalize_rows(np.array([[1, 2, 4.0]])) @ axes(0, 1, 2))


def test_the_last_vector_is_the_last_and_the_mean_is_blind_to_order() -> None:
    np.testing.assert_array_equal(RULES["last"].predict(axes(3, 4)), axes(4))
    mean = RULES["mean"].predict(axes(3, 4))
    np.testing.assert_array_equal(mean, RULES["mean"].predict(axes(4, 3)))


@pytest.mark.parametrize("name", sorted(RULES))
@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_rule_gives_one_unit_vector(name: str, length: int) -> None:
    context = normalize_rows(np.random.default_rng(length).normal(size=(length, 768)))
    vector = RULES[name].predict(context)
    assert vector.shape == (1, 768)
    assert vector.dtype == np.float32
    assert abs(float(np.linalg.norm(vector.astype(np.float64))) - 1) < 1e-5


@pytest.mark.parametrize("rule", [RULES["mean"], RecencyQueryModel(factor=1.0)])
def test_a_context_that_cancels_out_is_named(rule: RecencyQueryModel) -> None:
    with pytest.raises(InvalidInput) as caught:
        rule.predict(np.concatenate([axes(0), -axes(0)]))
    assert caught.value.violations[0].field == "context"
