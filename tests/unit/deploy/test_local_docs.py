from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks.load.__main__ import app as bench_app
from deploy.local.__main__ import app as local_app

DOCS = Path(__file__).resolve().parents[3] / "docs"


def options_of(command: Any) -> dict[str, Any]:
    """Every option by each of its names, sub-commands included."""
    commands = [command, *getattr(command, "commands", {}).values()]
    return {
        name: parameter
        for one in commands
        for parameter in one.params
        for name in parameter.opts
        if name.startswith("--")
    }


@pytest.mark.parametrize(
    ("page", "app"), [("benchmarks.md", bench_app), ("local-stack.md", local_app)]
)
def test_every_option_that_a_page_names_exists(page: str, app: typer.Typer) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", (DOCS / page).read_text()))
    assert named
    assert named <= set(options_of(typer.main.get_command(app)))


def test_the_defaults_of_the_benchmark_are_those_in_its_page() -> None:
    options = options_of(typer.main.get_command(bench_app))
    rows = re.findall(
        r"^\| `(--[a-z-]+)` \| .* \| `?([^`|]+?)`? \|$", (DOCS / "benchmarks.md").read_text(), re.M
    )
    assert len(rows) == 8
    stated = {name: default for name, default in rows if options[name].default is not None}
    actual = {name: options[name].default for name in stated}
    assert {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in actual.items()
    } == stated
