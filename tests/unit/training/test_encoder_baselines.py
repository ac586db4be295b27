"""Baseline figures are kept for the same task alone, and the model is always measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.encoder.baselines import Baselines
from training.encoder.evaluate import measure_all
from training.encoder.measures import Ranks
from training.encoder.tasks import Task

TASK = Task("t", ["a", "b"], ["x", "y", "z"], np.array([0, 2]))


class CountingSystem:
    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0

    def ranks(self, queries: Sequence[str], passages: Sequence[str], owners: Ranks) -> Ranks:
        self.calls += 1
        return np.arange(len(queries))


def test_only_the_model_is_measured_again(tmp_path: Path) -> None:
    model, other = CountingSystem("model"), CountingSystem("other")
    path = tmp_path / "deep" / "baselines.json"
    first = measure_all([TASK], [model, other], Baselines(path))
    again = measure_all([TASK], [model, other], Baselines(path))
    assert (model.calls, other.calls) == (2, 1)
    assert first == again
    assert first[1] == {
        "task": "t (2 queries, 3 passages)",
        "system": "other",
        "R@1": 0.5,
        "R@5": 1.0,
        "MRR@10": 0.75,
        "Contain@50": 1.0,
    }


def test_another_task_is_measured_even_under_the_same_name(tmp_path: Path) -> None:
    baselines = Baselines(tmp_path / "baselines.json")
    baselines.put(TASK, "other", {"R@1": 1.0})
    assert baselines.get(TASK, "other") == {"R@1": 1.0}
    assert baselines.get(TASK, "another") is None
    assert baselines.get(replace(TASK, passages=["x", "y", "w"]), "other") is None
