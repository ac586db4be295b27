"""The pages that operators follow name commands, options, pages and sections that are there.

Their commands are typed for real, all of them and in order, by the long tests.
"""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.checklist.checklist_steps import command_lines, operator_pages
from tests.support.kubernetes_objects import ROOT

PROD = ROOT / "docs" / "PROD"
TEMPLATE = PROD / "postmortems" / "TEMPLATE.md"
PAGES = [*operator_pages(), TEMPLATE, ROOT / "docs" / "alerts.md", ROOT / "docs" / "kubernetes.md"]
COMMANDS = sorted(
    {
        command
        for page in operator_pages()
        for command in command_lines(page)
        if command.startswith("python ")
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_one_that_it_has(command: str) -> None:
    words = shlex.split(re.sub(r"\$\([^)]*\)", "now", command))
    given = [word for word in words if word.startswith("--")]
    assert set(given) <= set(options_of(words))


def options_of(words: list[str]) -> Iterator[str]:
    """Every option that the program, and each subcommand that is named, takes."""
    if words[1] == "-m":
        name, rest = f"{words[2]}.__main__", words[3:]
    else:
        name, rest = words[1].removesuffix(".py").replace("/", "."), words[2:]
    command: Any = typer.main.get_command(importlib.import_module(name).app)
    if hasattr(command, "commands"):
        command = command.commands[rest[0]]
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.is_file(), f"{target}: no such page"
        assert not anchor or anchor in anchors_of(linked), f"{target}: no such section"


def anchors_of(page: Path) -> set[str]:
    """Sections as links name them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def test_the_pages_are_where_people_look_for_them() -> None:
    assert (PROD / "Rollout_48hr_Runbook.md").is_file()
    assert TEMPLATE.is_file()


def test_commands_are_found_on_the_pages() -> None:
    assert len(COMMANDS) > 20
    assert all(command_lines(page) for page in operator_pages())
