"""docs/reranker.md names every option of retraining, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from training.retrain.__main__ import main

PAGE = Path(__file__).parents[3] / "docs" / "reranker.md"


def test_every_option_is_documented_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    listed = PAGE.read_text("utf-8").rpartition("Options of `python -m training.retrain`:")[2]
    assert set(re.findall(r"`(--[a-z-]+)`", listed)) == known
