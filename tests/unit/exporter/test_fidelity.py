"""Fidelity figures and the verdict over them."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.fidelity import (
    INT8_BOUNDS,
    Fidelity,
    LengthRow,
    measure_fidelity,
    misses,
    neighbour_overlap,
)
from exporter.report import Report, format_report
from exporter.session import GraphRunner
from exporter.t5_graph import write_encoder
from tests.support.tiny_encoder import random_weights, tiny_shape

GOOD = Fidelity(
    texts=3,
    mean_cosine=0.9999,
    worst_cosine=0.999,
    overlap=0.99,
    invariance=1.0,
    by_length=(LengthRow(8, 3, 0.9999, 0.999),),
)


def test_a_model_within_all_bounds_misses_none() -> None:
    assert misses(GOOD, INT8_BOUNDS) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean_cosine", 0.9989),
        ("worst_cosine", 0.9949),
        ("overlap", 0.969),
        ("invariance", 0.99998),
        ("worst_cosine", float("nan")),
    ],
)
def test_each_bound_can_be_missed(name: str, value: float) -> None:
    worse = Fidelity(**{**vars(GOOD), name: value})
    (miss,) = misses(worse, INT8_BOUNDS)
    assert miss.startswith(name)


def test_overlap_counts_kept_neighbours_and_leaves_the_text_itself_out() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    assert neighbour_overlap(vectors, vectors, k=1) == 1.0
    swapped = vectors[[0, 2, 1, 3]]
    assert neighbour_overlap(vectors, swapped, k=1) == 0.0


def test_another_model_is_told_apart_and_the_table_says_so() -> None:
    shape = tiny_shape()
    texts = [[index, 1] for index in range(3, 20)] + [[5] * 20 + [1]]
    graphs = [
        GraphRunner(write_encoder(random_weights(shape, seed), "fp32").SerializeToString(), 1)
        for seed in (0, 1)
    ]
    same = measure_fidelity(graphs[0], graphs[0], texts)
    assert same.worst_cosine == pytest.approx(1.0, abs=1e-6)
    assert [row.tokens for row in same.by_length] == [8, 32]
    other = measure_fidelity(graphs[0], graphs[1], texts)
    missed = misses(other, INT8_BOUNDS)
    assert len(missed) == 3
    table = format_report(Report("m", "int8", "here", other, missed))
    assert table.count("MISSED") == 3
    assert "<= 32" in table
