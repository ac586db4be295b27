"""Settings of a server: frozen, typed, read once; every problem is reported at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

Settings = TypeVar("Settings", bound="ServiceSettings")


def setting(
    default: object = PydanticUndefined,
    *,
    unit: str,
    meaning: str,
    **constraints: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Declare one setting. `unit` and `meaning` go into --help and the documentation.

    `constraints` are those of pydantic's Field (ge, le, gt, min_length, pattern). Without a default
    the setting is required.
    """
    extra: dict[str, Any] = {"unit": unit}
    return Field(default, description=meaning, json_schema_extra=extra, **constraints)


class ServiceSettings(BaseSettings):
    """Settings that every server has. Built directly it never reads the environment."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    host: str = setting("127.0.0.1", unit="address", meaning="address to bind", min_length=1)
    port: int = setting(0, unit="port", meaning="gRPC port; 0 takes a free one", ge=0, le=65535)
    metrics_port: int = setting(
        0, unit="port", meaning="Prometheus port over HTTP; 0 serves none", ge=0, le=65535
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", unit="level", meaning="least level that is logged; debug has one line a call"
    )
    log_format: Literal["json", "text"] = setting(
        "json", unit="name", meaning="json for collectors, text for a terminal"
    )
    tls_cert_file: Path | None = setting(
        None, unit="path", meaning="PEM certificate chain of this server; unset means plain text"
    )
    tls_key_file: Path | None = setting(
        None, unit="path", meaning="PEM private key of tls_cert_file"
    )
    tls_client_ca_file: Path | None = setting(
        None, unit="path", meaning="PEM roots; callers must then show a certificate of theirs"
    )
    max_message_bytes: int = setting(
        4 * 1024 * 1024, unit="bytes", meaning="largest message received or sent", ge=1024
    )
    in_flight_limit: int = setting(
        64, unit="calls", meaning="calls running or waiting; more are refused at once", ge=1
    )
    slot_count: int = setting(
        0,
        unit="calls",
        meaning="calls running at once, others wait; 0 is one a core (index, reranker) "
        "or in_flight_limit (encoder, gateway)",
        ge=0,
    )
    default_deadline_ms: float = setting(
        1000.0, unit="ms", meaning="deadline of calls that bring none", gt=0
    )
    lame_duck_ms: float = setting(
        1000.0, unit="ms", meaning="between NOT_SERVING and refusing new calls, on SIGTERM", ge=0
    )
    drain_grace_ms: float = setting(
        5000.0, unit="ms", meaning="calls in flight may take this long to finish, on SIGTERM", ge=0
    )
    max_connection_age_ms: int = setting(
        0,
        unit="ms",
        meaning="connections are renewed after this, so that callers behind a name find new "
        "replicas; 0 is never",
        ge=0,
    )
    memory_baseline_s: float = setting(
        300.0,
        unit="s",
        meaning="memory at the first scrape after this is the baseline that growth is held against",
        ge=0,
    )
    trace_ratio: float = setting(
        0.0, unit="ratio", meaning="share of calls without a trace that start one", ge=0, le=1
    )
    otlp_endpoint: str = setting(
        "", unit="url", meaning="OTLP collector for spans; empty keeps none"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave the environment to load_settings, which also refuses unknown names."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together")
        if self.tls_client_ca_file is not None and self.tls_cert_file is None:
            raise ValueError("tls_client_ca_file needs tls_cert_file")
        return self


class SettingsError(Exception):
    """The settings cannot be used; `problems` has one line for each thing wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as people see it; `default` is "" for none, "required" where it must be set."""

    name: str
    unit: str
    default: str
    meaning: str


def load_settings(cls: type[Settings], environ: Mapping[str, str]) -> Settings:
    """Read the settings of `cls` from names with its prefix.

    Raises SettingsError with every problem at once; an unknown name with the prefix is one.
    """
    prefix = _prefix(cls)
    ours = {name: value for name, value in environ.items() if name.startswith(prefix)}
    known = {prefix + field.upper(): field for field in cls.model_fields}
    problems = [_unknown_name(name, known) for name in sorted(ours) if name not in known]
    values: dict[str, Any] = {known[name]: value for name, value in ours.items() if name in known}
    try:
        settings = cls(**values)
    except ValidationError as error:
        problems.extend(_problem(prefix, detail) for detail in error.errors())
        raise SettingsError(tuple(problems)) from None
    if problems:
        raise SettingsError(tuple(problems))
    return settings


def settings_rows(cls: type[ServiceSettings]) -> list[SettingRow]:
    """Every setting of `cls` under its environment name, in the order of declaration."""
    prefix = _prefix(cls)
    return [_row(prefix + name.upper(), field) for name, field in cls.model_fields.items()]


def split_commas(value: object) -> object:
    """Turn "a, b" into ("a", "b") for a BeforeValidator; anything else passes."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _prefix(cls: type[ServiceSettings]) -> str:
    return str(cls.model_config.get("env_prefix", ""))


def _unknown_name(name: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{name}: no such setting{hint}"


def _problem(prefix: str, detail: ErrorDetails) -> str:
    names = [str(part) for part in detail["loc"]]
    name = prefix + ".".join(names).upper() if names else prefix.rstrip("_")
    return f"{name}: {detail['msg'].removeprefix('Value error, ')}"


def _row(name: str, field: FieldInfo) -> SettingRow:
    extra = field.json_schema_extra
    unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
    return SettingRow(name, unit, _default_text(field), field.description or "")


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if default is None:
        return ""
    if isinstance(default, tuple):
        return ",".join(str(part) for part in default)
    return f"{default:g}" if isinstance(default, float) else str(default)
