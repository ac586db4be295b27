"""Settings: typed, frozen, refused all at once, never from the environment by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BeforeValidator, ValidationError
from pydantic_settings import SettingsConfigDict

from servicekit.settings import (
    ServiceSettings,
    SettingsError,
    load_settings,
    setting,
    settings_rows,
    split_commas,
)


class SampleSettings(ServiceSettings):
    """Settings of a server that does not exist."""

    model_config = SettingsConfigDict(env_prefix="SAMPLE_")

    port: int = setting(50999, unit="port", meaning="gRPC port", ge=0, le=65535)
    folder: Path = setting(unit="path", meaning="where it is")
    names: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = setting(
        ("a", "b"), unit="names", meaning="who they are"
    )


def test_values_come_from_prefixed_names_with_their_types() -> None:
    environ = {
        "SAMPLE_PORT": "7",
        "SAMPLE_FOLDER": "/somewhere",
        "SAMPLE_NAMES": "x, y,,z",
        "SAMPLE_LAME_DUCK_MS": "0.5",
        "PATH": "/bin",
    }
    settings = load_settings(SampleSettings, environ)
    assert (settings.port, settings.folder) == (7, Path("/somewhere"))
    assert settings.names == ("x", "y", "z")
    assert settings.lame_duck_ms == 0.5
    assert settings.host == "127.0.0.1"


def test_every_problem_is_reported_at_once() -> None:
    environ = {
        "SAMPLE_PORT": "99999",
        "SAMPLE_LOG_LEVEL": "loud",
        "SAMPLE_IN_FLIGHT_LIMT": "3",
        "SAMPLE_TRACE_RATIO": "x",
    }
    with pytest.raises(SettingsError) as raised:
        load_settings(SampleSettings, environ)
    problems = "\n".join(raised.value.problems)
    for name in ("SAMPLE_PORT", "SAMPLE_LOG_LEVEL", "SAMPLE_FOLDER", "SAMPLE_TRACE_RATIO"):
        assert f"{name}: " in problems
    assert (
        "SAMPLE_IN_FLIGHT_LIMT: no such setting; did you mean SAMPLE_IN_FLIGHT_LIMIT?" in problems
    )
    assert len(raised.value.problems) == 5


def test_an_unknown_name_alone_is_refused() -> None:
    with pytest.raises(SettingsError, match="SAMPLE_PROT: no such setting"):
        load_settings(SampleSettings, {"SAMPLE_FOLDER": "x", "SAMPLE_PROT": "1"})


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"SAMPLE_TLS_CERT_FILE": "c"}, "SAMPLE: tls_cert_file and tls_key_file go together"),
        ({"SAMPLE_TLS_CLIENT_CA_FILE": "c"}, "SAMPLE: tls_client_ca_file needs tls_cert_file"),
    ],
)
def test_tls_files_go_together(environ: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(SampleSettings, {"SAMPLE_FOLDER": "x", **environ})
    assert raised.value.problems == (problem,)


def test_built_directly_it_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_PORT", "1")
    monkeypatch.setenv("PORT", "2")
    assert SampleSettings(folder=Path("x")).port == 50999


def test_settings_cannot_be_changed() -> None:
    settings = ServiceSettings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_rows_say_name_unit_default_and_meaning() -> None:
    rows = {row.name: row for row in settings_rows(SampleSettings)}
    assert rows["SAMPLE_FOLDER"].default == "required"
    assert rows["SAMPLE_NAMES"].default == "a,b"
    assert rows["SAMPLE_LAME_DUCK_MS"].default == "1000"
    assert rows["SAMPLE_TLS_CERT_FILE"].default == ""
    assert rows["SAMPLE_PORT"].unit == "port"
    assert all(row.unit and row.meaning for row in rows.values())
