"""Our measures equal those of a public implementation on random rankings, query by query."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evaluation.measures import all_measures, judge_rankings
from tests.support.random_runs import PUBLIC_FIGURES, PUBLIC_NAMES, public_values, random_run

FIGURES: dict[str, dict[str, list[float]]] = json.loads(PUBLIC_FIGURES.read_text("utf-8"))


@pytest.mark.parametrize("seed", sorted(FIGURES))
def test_measures_equal_the_recorded_public_ones(seed: str) -> None:
    run = random_run(int(seed))
    ours = all_measures(judge_rankings(run.rankings, run.golds))
    assert set(ours) == set(PUBLIC_NAMES) == set(FIGURES[seed])
    for name, values in ours.items():
        np.testing.assert_allclose(values, FIGURES[seed][name], atol=1e-8, err_msg=name)


def test_measures_equal_the_installed_public_ones() -> None:
    pytest.importorskip("ir_measures")
    run = random_run(99)
    theirs = public_values(run)
    for name, values in all_measures(judge_rankings(run.rankings, run.golds)).items():
        np.testing.assert_allclose(values, theirs[name], atol=1e-9, err_msg=name)


def test_the_recorded_figures_tell_rankings_apart() -> None:
    for name in PUBLIC_NAMES:
        spread = {round(value, 6) for value in FIGURES["1"][name]}
        assert len(spread) > 1, name
