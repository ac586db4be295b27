"""The projection is the same everywhere, orthogonal, and estimates cosines."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval_core.projection import project, projection_digest, projection_matrix
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows


def unit_rows(count: int, seed: int) -> Float32Matrix:
    return normalize_rows(np.random.default_rng(seed).standard_normal((count, DIMENSIONS)))


def test_the_default_matrix_never_changes() -> None:
    # Releases and rerankers on disk carry this digest: another value here orphans all of them.
    assert (
        projection_digest(projection_matrix())
        == "sha256:5679a5ec45d0c26d563f807b745a03b14e73986ab27dacce36af34286fd8d9e8"
    )


def test_every_element_is_an_eighth_in_size() -> None:
    assert np.unique(np.abs(projection_matrix())).tolist() == [0.125]


@pytest.mark.parametrize("columns", [1, 16, 64, 768])
def test_columns_are_orthogonal_and_of_equal_norm(columns: int) -> None:
    matrix = projection_matrix(3, columns).astype(np.float64)
    expected = np.eye(columns) * (DIMENSIONS / columns)
    np.testing.assert_allclose(matrix.T @ matrix, expected, atol=1e-4 * DIMENSIONS / columns)


def test_all_columns_together_keep_every_dot_product() -> None:
    vectors = unit_rows(20, seed=1)
    projected = vectors @ projection_matrix(5, DIMENSIONS)
    np.testing.assert_allclose(projected @ projected.T, vectors @ vectors.T, atol=1e-5)


def test_dot_products_estimate_cosines_without_bias() -> None:
    first, second = unit_rows(2, seed=2)
    pair = normalize_rows(np.stack([first, 0.8 * first + 0.6 * second]))
    estimates = []
    for seed in range(400):
        left, right = project(pair, projection_matrix(seed)).astype(np.float64)
        estimates.append(left @ right)
    # One estimate has a standard deviation of at most sqrt(2/64) = 0.18,
    # the mean of 400 one of 0.009.
    assert abs(float(np.mean(estimates)) - float(pair[0] @ pair[1])) < 0.03
    assert float(np.std(estimates)) < 0.18


def test_seeds_give_different_matrices() -> None:
    assert projection_digest(projection_matrix(1)) != projection_digest(projection_matrix(2))


def test_stored_projections_are_half_precision_rows() -> None:
    stored = project(unit_rows(7, seed=4), projection_matrix())
    assert stored.dtype == np.float16
    assert stored.shape == (7, 64)
    assert stored.flags.c_contiguous


@pytest.mark.parametrize("columns", [0, 769])
def test_impossible_column_counts_are_refused(columns: int) -> None:
    with pytest.raises(ValueError, match="columns"):
        projection_matrix(0, columns)
