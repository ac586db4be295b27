"""Settings of the reranker, read from RERANK_*."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator
from pydantic_settings import SettingsConfigDict

from releases.catalog import DEFAULT_RELEASES_FOLDER
from servicekit.settings import ServiceSettings, setting


class RerankSettings(ServiceSettings):
    """Which model is served, and how many candidates one call may bring."""

    model_config = SettingsConfigDict(env_prefix="RERANK_")

    port: int = setting(50071, unit="port", meaning="gRPC port; 0 takes a free one", ge=0, le=65535)
    model: Path | None = setting(
        None,
        unit="path",
        meaning="folder with reranker_mlp_v0.onnx and .json; unset serves the release's reranker "
        "or, where there is none, the embedded default",
    )
    release: str = setting(
        "",
        unit="name",
        meaning="release whose reranker is served: a name or pointer in releases_folder, or a "
        "folder; not together with the model",
    )
    releases_folder: Path = setting(
        DEFAULT_RELEASES_FOLDER, unit="path", meaning="where names and pointers are looked up"
    )
    max_candidates: int = setting(
        200, unit="count", meaning="most candidates in one call", ge=1, le=1000
    )

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.model is not None and self.release:
            raise ValueError("set the model or the release, not both")
        return self
