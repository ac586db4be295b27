"""The pages say what the code does: options, manifest keys, files, fields, endings."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import typer.main

from building.corpus_files import ACCEPTED_SUFFIXES
from building.rows import COLUMNS
from releases import layout
from releases.catalog import POINTER_NAMES
from releases.manifest import Manifest
from tools.build_release import app
from tools.release import app as release_app

DOCS = Path(__file__).parents[3] / "docs"


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _first_cells(page: str) -> set[str]:
    """Code words in the first cell of each row of the tables."""
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_every_option_of_the_command_is_documented() -> None:
    options = {name for item in typer.main.get_command(app).params for name in item.opts}
    switches = {name for item in typer.main.get_command(app).params for name in item.secondary_opts}
    documented = {word for word in _first_cells(_page("releases.md")) if word.startswith("--")}
    assert documented == options | switches


def _commands() -> dict[str, Any]:
    return dict(typer.main.get_group(release_app).commands)


def test_every_command_and_its_options_are_documented() -> None:
    page = _page("releases.md")
    documented = [word.split()[0] for word in _first_cells(page) if word.split()[0] in _commands()]
    assert sorted(documented) == sorted(_commands())
    options = {
        name for command in _commands().values() for item in command.params for name in item.opts
    }
    assert [name for name in options if name.startswith("--") and name not in page] == []


def test_every_manifest_key_is_documented() -> None:
    keys = {field.name for field in dataclasses.fields(Manifest)} | {"format"}
    words = {word for word in _first_cells(_page("releases.md")) if not word.startswith("--")}
    assert {word for word in words if word.split()[0] not in _commands()} == keys


def test_every_file_of_a_release_is_documented() -> None:
    page = _page("releases.md")
    names = [value for name, value in vars(layout).items() if name.endswith(("_NAME", "_FOLDER"))]
    assert len(names) >= 10
    assert [name for name in names if name not in page] == []
    assert all(f"`{name}`" in page for name in POINTER_NAMES)


def test_every_field_and_ending_is_documented() -> None:
    words = _first_cells(_page("corpora.md"))
    assert set(COLUMNS) <= words
    assert {word for word in words if word.startswith(".")} == set(ACCEPTED_SUFFIXES)
