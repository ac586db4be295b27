"""The calibration of confidence, and its command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from evaluation.confidence import calibrate
from evaluation.hits_files import QueryHits, write_hits
from retrieval_core.errors import InvalidInput
from tools.calibrate_confidence import app


def query(number: int, cosine: float, *, right: bool, task: str = "question") -> QueryHits:
    ids = (1, 2, 3) if right else (2, 3)
    scores = (cosine, *(cosine - 0.1,) * (len(ids) - 1))
    return QueryHits(f"{task}/{number}", (1,), ids, scores, task)


def sample(task: str = "question", level: float = 0.0) -> list[QueryHits]:
    """1,000 right answers around 0.6 and 500 wrong ones around 0.4."""
    chance = np.random.default_rng(3)
    right = level + chance.normal(0.6, 0.1, 1000)
    wrong = level + chance.normal(0.4, 0.1, 500)
    return [
        *(
            query(number, float(cosine), right=True, task=task)
            for number, cosine in enumerate(right)
        ),
        *(
            query(1000 + number, float(cosine), right=False, task=task)
            for number, cosine in enumerate(wrong)
        ),
    ]


def test_the_stated_share_of_right_answers_reaches_the_threshold() -> None:
    (found,) = calibrate(sample(), share=0.9)
    # The tenth percentile of a normal distribution of mean 0.6 and deviation 0.1.
    assert found.cosine == pytest.approx(0.6 - 1.2816 * 0.1, abs=0.015)
    reached = [one for one in sample() if one.scores[0] >= found.cosine]
    assert sum(1 in one.ids for one in reached) == 900
    assert found.share_of_all == len(reached) / 1500
    assert found.right_above is not None
    assert found.right_below is not None
    assert found.right_above > 0.85
    assert found.right_below < 0.3


def test_every_task_has_a_threshold_of_its_own() -> None:
    found = calibrate([*sample(), *sample("next_passage", 0.2)])
    assert [one.task for one in found] == ["next_passage", "question"]
    assert found[0].cosine == pytest.approx(found[1].cosine + 0.2)


def test_too_few_right_answers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="99 right answers"):
        calibrate([query(number, 0.5, right=number < 99) for number in range(500)])


@pytest.mark.parametrize("share", [0.0, 1.01])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InvalidInput, match="share"):
        calibrate(sample(), share)


def test_the_command_prints_settings_for_the_gateway(tmp_path: Path) -> None:
    hits = tmp_path / "hits.jsonl"
    write_hits(sample(), hits)
    runner = CliRunner()
    shown = runner.invoke(app, ["--hits", str(hits)])
    assert shown.exit_code == 0
    assert shown.stdout.startswith("GATEWAY_CONFIDENT_COSINE=0.48")
    told = runner.invoke(app, ["--hits", str(hits), "--json"])
    assert json.loads(told.stdout)["tasks"][0]["query_count"] == 1500
    assert runner.invoke(app, ["--hits", str(tmp_path / "none.jsonl")]).exit_code == 2
