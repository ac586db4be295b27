"""The pages name every check, option and cause, and none that is not there."""

import re
from pathlib import Path
from typing import Any

import typer.main

from operations.causes import RULES
from operations.preflight import CHECKS
from tools.diagnose_retriever import app as diagnosis_app
from tools.preflight import app as preflight_app
from tools.weekly_maintenance import app as weekly_app

DOCS = Path(__file__).parents[3] / "docs"


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _names(page: str) -> list[str]:
    """Code words that fill the first cell of a row."""
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


def _options(app: Any) -> list[str]:
    return [name for item in typer.main.get_command(app).params for name in item.opts]


def test_every_check_is_documented_in_order() -> None:
    assert _names(_page("preflight.md")) == [check.name for check in CHECKS]


def test_every_option_of_preflight_is_documented() -> None:
    page = _page("preflight.md")
    assert [name for name in _options(preflight_app) if name not in page] == []


def test_every_cause_is_documented_in_order() -> None:
    assert _names(_page("diagnosis.md")) == [rule.name for rule in RULES]


def test_every_option_of_the_diagnosis_is_documented() -> None:
    page = _page("diagnosis.md")
    assert [name for name in _options(diagnosis_app) if name not in page] == []


def test_every_option_of_the_weekly_chores_is_documented() -> None:
    page = _page("maintenance.md")
    assert [name for name in _options(weekly_app) if name not in page] == []
