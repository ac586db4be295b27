"""The command line of a server: --help with the table of settings, --version, exit codes."""

from __future__ import annotations

import importlib.metadata
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

from servicekit.settings import (
    ServiceSettings,
    Settings,
    SettingsError,
    load_settings,
    settings_rows,
)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_SETTINGS = 2
EXIT_UNREACHABLE = 3

DISTRIBUTION = "retrieval-stack"


class Exit(Exception):
    """The command line is done before a server starts."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    def show(self) -> int:
        """Print the text where it belongs; returns the exit code."""
        stream: TextIO = sys.stdout if self.code == EXIT_OK else sys.stderr
        stream.write(self.text + "\n")
        return self.code


def read_settings(
    name: str, summary: str, cls: type[Settings], argv: Sequence[str], environ: Mapping[str, str]
) -> Settings:
    """The settings to run with. Raises Exit for --help, --version, a wrong argument or setting."""
    if any(argument in ("-h", "--help") for argument in argv):
        raise Exit(EXIT_OK, help_text(name, summary, cls))
    if list(argv) == ["--version"]:
        raise Exit(EXIT_OK, f"{name} {distribution_version()}")
    if argv:
        raise Exit(EXIT_SETTINGS, f"{name}: unknown argument {argv[0]}; see --help")
    try:
        return load_settings(cls, environ)
    except SettingsError as error:
        lines = "\n".join(f"  {problem}" for problem in error.problems)
        raise Exit(EXIT_SETTINGS, f"{name}: the settings cannot be used\n{lines}") from None


def help_text(name: str, summary: str, cls: type[ServiceSettings]) -> str:
    """What --help prints: every setting with its unit, default and meaning."""
    rows = [(row.name, row.unit, row.default, row.meaning) for row in settings_rows(cls)]
    table = _align([("setting", "unit", "default", "meaning"), *rows])
    return (
        f"{name}: {summary}\n\n"
        f"Takes no arguments; settings come from the environment:\n\n{table}\n\n"
        f"Exit codes: {EXIT_OK} stopped as asked, {EXIT_FAILED} a damaged file or a defect, "
        f"{EXIT_SETTINGS} settings,\n{EXIT_UNREACHABLE} an address in use or something unreachable "
        "at start."
    )


def distribution_version() -> str:
    """Version of the installed distribution; "0" in a tree that was never installed."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _align(rows: Sequence[tuple[str, str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    indent = " " * (2 + sum(widths) + 6)
    lines = []
    for name, unit, default, meaning in rows:
        start = f"  {name:{widths[0]}}  {unit:{widths[1]}}  {default:{widths[2]}}  "
        lines.append(start + textwrap.fill(meaning, 60).replace("\n", "\n" + indent))
    return "\n".join(lines)
