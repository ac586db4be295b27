"""Settings of the encoder: defaults fit together, contradictions are named."""

from __future__ import annotations

import pytest

from encoder_svc.settings import EncoderSettings
from servicekit.settings import SettingsError, load_settings, settings_rows


def test_the_defaults_are_valid() -> None:
    settings = load_settings(EncoderSettings, {})
    assert settings.port == 50051
    assert settings.model is None


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ENCODER_MAX_TEXTS": "500"}, "max_texts must fit"),
        ({"ENCODER_BULK_TEXT_LIMIT": "300"}, "bulk_text_limit must leave room"),
        ({"ENCODER_THREAD": "2"}, "did you mean ENCODER_THREADS"),
        ({"ENCODER_THREADS": "0"}, "ENCODER_THREADS"),
    ],
)
def test_what_cannot_work_is_named(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(EncoderSettings, environ)


def test_no_default_names_a_place_on_this_machine() -> None:
    assert [row.name for row in settings_rows(EncoderSettings) if "/" in row.default] == []
