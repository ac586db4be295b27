"""Settings of the encoder, read from ENCODER_*."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings, setting


class EncoderSettings(ServiceSettings):
    """Which model is served, by how many threads, and how much may wait for it."""

    model_config = SettingsConfigDict(env_prefix="ENCODER_")

    port: int = setting(50051, unit="port", meaning="gRPC port; 0 takes a free one", ge=0, le=65535)
    in_flight_limit: int = setting(
        256, unit="calls", meaning="calls running or waiting; more are refused at once", ge=2
    )
    model: Path | None = setting(
        None, unit="path", meaning="model folder; unset serves the embedded default"
    )
    threads: int = setting(1, unit="threads", meaning="threads of one query session", ge=1, le=64)
    session_count: int = setting(
        1, unit="sessions", meaning="query sessions that run side by side", ge=1, le=64
    )
    spinning: bool = setting(
        True, unit="flag", meaning="threads of a session spin between operators; faster, busier"
    )
    inline_ms: float = setting(
        1.0,
        unit="ms",
        meaning="a query that is alone and will run no longer than this is run on the event loop, "
        "without the way to a thread and back; 0 never",
        ge=0,
    )
    batch_tokens: int = setting(
        512, unit="tokens", meaning="most padded tokens in one run of queries", ge=1
    )
    bulk_batch_tokens: int = setting(
        256, unit="tokens", meaning="most padded tokens in one run of bulk work", ge=1
    )
    padding_ratio: float = setting(
        1.5, unit="ratio", meaning="most padded tokens of a run over its real tokens", ge=1
    )
    bulk_niceness: int = setting(
        10, unit="nice", meaning="how far the bulk thread's priority is lowered", ge=0, le=19
    )
    query_text_limit: int = setting(
        256, unit="texts", meaning="texts of queries waiting or running; more are refused", ge=1
    )
    bulk_text_limit: int = setting(
        128, unit="texts", meaning="texts of bulk work waiting or running; more are refused", ge=1
    )
    max_texts: int = setting(64, unit="texts", meaning="most texts in one call", ge=1)
    max_text_bytes: int = setting(
        65536, unit="bytes", meaning="largest text, in UTF-8; longer ones are refused", ge=1
    )
    cache_texts: int = setting(
        2048, unit="texts", meaning="recent query texts whose vectors are kept; 0 keeps none", ge=0
    )
    query_models_folder: Path | None = setting(
        None,
        unit="path",
        meaning="folder with amn_v0 and gru_v0, such as a release; unset serves the embedded ones",
    )
    query_model: Literal["", "amn_v0", "gru_v0", "recency", "mean", "last"] = setting(
        "",
        unit="name",
        meaning="query model for contexts that name none; unset is the first there is of amn_v0, "
        "gru_v0, recency",
    )
    query_model_limit_ms: float = setting(
        5.0, unit="ms", meaning="longest wait for a query model; then the next one answers", gt=0
    )

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.max_texts > min(self.query_text_limit, self.bulk_text_limit):
            raise ValueError("max_texts must fit below query_text_limit and bulk_text_limit")
        if self.bulk_text_limit >= self.in_flight_limit:
            raise ValueError("bulk_text_limit must leave room below in_flight_limit for queries")
        return self
