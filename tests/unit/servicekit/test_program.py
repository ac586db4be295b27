"""The command line of a server, and the documentation of the settings that all have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from servicekit.program import Exit, distribution_version, read_settings
from servicekit.settings import ServiceSettings, setting, settings_rows

DOCS = Path(__file__).parents[3] / "docs" / "servers.md"


class SampleSettings(ServiceSettings):
    """Settings of a server that does not exist."""

    model_config = SettingsConfigDict(env_prefix="SAMPLE_")

    port: int = setting(50999, unit="port", meaning="gRPC port", ge=0, le=65535)


def outcome(*argv: str, **environ: str) -> Exit:
    with pytest.raises(Exit) as raised:
        read_settings("sample", "does nothing", SampleSettings, argv, environ)
    return raised.value


@pytest.mark.parametrize("argument", ["-h", "--help"])
def test_help_has_every_setting_with_unit_default_and_meaning(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(argument).show() == 0
    text = capsys.readouterr().out
    assert text.startswith("sample: does nothing\n")
    assert max(map(len, text.splitlines())) <= 140
    for row in settings_rows(SampleSettings):
        pattern = rf"^  {row.name} +{re.escape(row.unit)} +{re.escape(row.default)} +\S"
        assert re.search(pattern, text, re.M), row.name
        assert row.meaning.split()[-1] in text


def test_help_works_with_settings_that_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome("--help", SAMPLE_PORT="x").show() == 0
    assert "SAMPLE_PORT" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome("--version").show() == 0
    assert capsys.readouterr().out == f"sample {distribution_version()}\n"


def test_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome("--port", "3").show() == 2
    assert "unknown argument --port" in capsys.readouterr().err


def test_problems_go_to_stderr_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(SAMPLE_PORT="x", SAMPLE_TRACE_RATIO="2").show() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 3


def test_good_settings_are_returned() -> None:
    settings = read_settings("sample", "", SampleSettings, [], {"SAMPLE_PORT": "1"})
    assert settings.port == 1


def documented_settings() -> dict[str, tuple[str, str, str]]:
    section = DOCS.read_text().split("## Settings that all have", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `_(\w+)` \| (\S+) \| (.*?) \| (.+) \|$", section, re.M)
    return {name: (unit, default.strip("`"), meaning) for name, unit, default, meaning in rows}


def test_the_documentation_lists_the_common_settings() -> None:
    declared = {
        row.name: (row.unit, row.default, row.meaning) for row in settings_rows(ServiceSettings)
    }
    assert documented_settings() == declared
