"""What is measured of a model whose source is not at hand, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from exporter.fidelity import INT8_BOUNDS, figures_below
from exporter.report import Report, format_report
from exporter.session import GraphRunner, TokenIds
from exporter.soundness import Soundness, measure_soundness, unsound
from exporter.t5_graph import write_encoder
from exporter.weights import Array
from tests.support.tiny_encoder import random_weights, tiny_shape

TEXTS = [[index, 1] for index in range(3, 20)] + [[5] * 20 + [1]]
RECORDED = {"texts": 550, "mean_cosine": 0.9999, "worst_cosine": 0.9986, "overlap": 0.99}


class Unsteady(GraphRunner):
    """Drifts from run to run, depends on its batch, and gives vectors that are too long."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, batch: Sequence[TokenIds], outputs: list[str]) -> list[Array]:
        del outputs
        self.runs += 1
        vectors = np.ones((len(batch), 4), np.float32)
        vectors[:, 0] += 0.001 * self.runs + len(batch)
        return [vectors]


@pytest.fixture(scope="module")
def soundness() -> Soundness:
    graph = write_encoder(random_weights(tiny_shape(), 0), "fp32").SerializeToString()
    return measure_soundness(GraphRunner(graph, 1), TEXTS)


def test_a_sound_model_has_nothing_against_it(soundness: Soundness) -> None:
    assert unsound(soundness, INT8_BOUNDS.invariance) == []
    assert [(row.tokens, row.texts) for row in soundness.by_length] == [(8, 17), (32, 1)]
    assert soundness.texts == 18


def test_everything_that_is_wrong_is_named() -> None:
    found = unsound(measure_soundness(Unsteady(), TEXTS), INT8_BOUNDS.invariance)
    assert [line.split()[0] for line in found] == ["invariance", "norm_error", "repeatable:"]
    (nan,) = unsound(Soundness(1, float("nan"), 0.0, True, ()), 0.9)
    assert nan.startswith("invariance")


def test_the_report_says_what_was_not_measured(soundness: Soundness) -> None:
    report = Report("m", "int8", "no such folder", None, [], soundness, RECORDED)
    text = format_report(report)
    assert "NOT measured" in text
    assert "no such folder" in text
    assert "when it was exported, over 550 texts" in text
    assert text.endswith("within all bounds that need no source")
    rows = [{"tokens": 8, "texts": 3, "mean_cosine": 0.5, "worst_cosine": 0.25}]
    recorded = {**RECORDED, "by_length": rows}
    assert "0.250000" in format_report(Report("m", "int8", "x", None, [], soundness, recorded))
    bare = format_report(Report("m", "int8", "x", None, ["repeatable: no"], soundness))
    assert "records no fidelity" in bare
    assert bare.endswith("MISSED: repeatable: no")


def test_a_figure_that_was_not_recorded_counts_as_missed() -> None:
    assert [line.split()[0] for line in figures_below(RECORDED, INT8_BOUNDS)] == ["invariance"]
    assert figures_below({**RECORDED, "invariance": 1.0}, INT8_BOUNDS) == []
