"""Training and building of the indexes."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from index_svc.ivf import build_flat, build_ivf, default_nlist, train_centroids, write_index
from retrieval_core.vectors import Float32Matrix, normalize_rows


def unit_vectors(count: int, dimensions: int = 32, seed: int = 5) -> Float32Matrix:
    return normalize_rows(np.random.default_rng(seed).normal(size=(count, dimensions)))


@pytest.mark.parametrize(
    ("passage_count", "expected"),
    [(1, 1), (38, 1), (39, 1), (78, 2), (1521, 39), (10_000, 100), (1_000_000, 1000)],
)
def test_nlist_is_about_the_square_root_and_trainable(passage_count: int, expected: int) -> None:
    assert default_nlist(passage_count) == expected


def test_centroids_are_units_and_repeat_for_a_seed() -> None:
    vectors = unit_vectors(2000)
    first = train_centroids(vectors, 16, seed=3)
    assert first.shape == (16, 32)
    assert first.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(first, train_centroids(vectors, 16, seed=3))
    assert not np.array_equal(first, train_centroids(vectors, 16, seed=4))


@pytest.mark.parametrize("count", [1, 2, 38, 40])
def test_tiny_corpora_build_without_a_word(count: int, capfd: pytest.CaptureFixture[str]) -> None:
    vectors = unit_vectors(count, 768)
    centroids = train_centroids(vectors, default_nlist(count), seed=0)
    index = build_ivf(centroids, vectors)
    assert index.ntotal == count
    _, rows = index.search(vectors[:1], 1)
    assert rows[0, 0] == 0
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_as_many_lists_as_points_is_allowed_and_more_are_not() -> None:
    vectors = unit_vectors(5)
    assert len(train_centroids(vectors, 5, seed=0)) == 5
    with pytest.raises(ValueError, match="between 1 and 5"):
        train_centroids(vectors, 6, seed=0)
    with pytest.raises(ValueError, match="between 1 and 5"):
        train_centroids(vectors, 0, seed=0)


def test_equal_and_opposite_points_still_give_unit_centroids() -> None:
    vectors = np.repeat(unit_vectors(1), 50, axis=0)
    vectors[::2] *= -1
    centroids = train_centroids(vectors, 1, seed=0)
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1.0, atol=1e-6)
    equal = train_centroids(np.repeat(unit_vectors(1), 50, axis=0), 4, seed=0)
    np.testing.assert_allclose(np.linalg.norm(equal, axis=1), 1.0, atol=1e-6)


def test_shards_share_the_centroids_and_together_hold_every_row() -> None:
    vectors = unit_vectors(500)
    centroids = train_centroids(vectors, 8, seed=0)
    shards = [build_ivf(centroids, vectors[part::2]) for part in range(2)]
    assert [shard.ntotal for shard in shards] == [250, 250]
    for shard in shards:
        np.testing.assert_array_equal(shard.quantizer.reconstruct_n(0, 8), centroids)


def test_an_empty_shard_is_an_index_too() -> None:
    vectors = unit_vectors(3)
    index = build_ivf(train_centroids(vectors, 1, seed=0), vectors[:0])
    assert index.ntotal == 0
    assert index.is_trained


def test_flat_and_ivf_round_trip_through_files(tmp_path: Path) -> None:
    vectors = unit_vectors(200)
    for name, index in {
        "flat": build_flat(vectors),
        "ivf": build_ivf(train_centroids(vectors, 4, seed=0), vectors),
    }.items():
        path = tmp_path / name
        write_index(index, path)
        read = faiss.read_index(str(path))
        assert read.metric_type == faiss.METRIC_INNER_PRODUCT
        read.search(vectors[:3], 5)
        np.testing.assert_array_equal(read.reconstruct_n(0, 200), vectors)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_non_finite_vectors_are_refused(broken: float) -> None:
    vectors = unit_vectors(50)
    vectors[7, 3] = broken
    with pytest.raises(ValueError, match="NaN or infinite"):
        train_centroids(vectors, 2, seed=0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        build_flat(vectors)
