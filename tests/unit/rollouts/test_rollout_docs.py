from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from rollouts.plan import Limits, Plan, TriggerLimits
from tools import check_rollback, rollout

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "rollout.md").read_text("utf-8")


def options_of(app: typer.Typer) -> set[str]:
    """Every option of a command and of its sub-commands."""
    command: Any = typer.main.get_command(app)
    commands = [command, *getattr(command, "commands", {}).values()]
    return {
        name
        for one in commands
        for parameter in one.params
        for name in parameter.opts
        if name.startswith("--")
    }


def test_every_option_that_the_page_names_exists() -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", PAGE))
    assert named
    assert named <= options_of(rollout.app) | options_of(check_rollback.app)


def test_every_command_that_there_is_stands_in_the_page() -> None:
    command: Any = typer.main.get_command(rollout.app)
    rows = set(re.findall(r"^\| `([a-z]+)` \|", PAGE, re.M))
    assert rows == set(command.commands)


def test_the_defaults_in_the_page_are_those_of_the_plan() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+_s)` \| (\d+) \|", PAGE, re.M))
    plan = Plan()
    assert {name: getattr(plan, name) for name in rows} == {
        name: float(value) for name, value in rows.items()
    }
    assert set(rows) == {each.name for each in fields(Plan)} - {"steps", "limits", "triggers"}


def test_every_limit_stands_in_the_page_with_its_value() -> None:
    limits = Limits()
    gates = PAGE[PAGE.index("## The gates") : PAGE.index("## Where the figures come from")]
    stated = dict(re.findall(r"`([a-z0-9_]+)`\s([\d.]+)(?: pp| ms| times| %| of| failures)", gates))
    for each in fields(Limits):
        value = getattr(limits, each.name)
        if each.name.endswith(("_ratio", "_change", "confidence")) and value < 1:
            value *= 100
        assert float(stated[each.name]) == round(value, 2), each.name


def test_every_trigger_stands_in_the_page_with_its_value() -> None:
    triggers = TriggerLimits()
    stated = dict(re.findall(r"\| `([a-z0-9_]+)` ([\d.]+) ", PAGE))
    assert float(stated["error_ratio"]) == 100 * triggers.error_ratio
    assert float(stated["p95_ms"]) == triggers.p95_ms
    assert float(stated["quality_drop_pp"]) == triggers.quality_drop_pp
    assert "`hold_s` (10 minutes)" in PAGE
    assert triggers.hold_s == 600
