"""Settings of one shard server."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from index_svc.shard import SearchLimits
from releases.catalog import DEFAULT_RELEASES_FOLDER
from servicekit.settings import ServiceSettings, setting


class IndexSettings(ServiceSettings):
    """Which shard of which release is served, and how much one search may ask for."""

    model_config = SettingsConfigDict(env_prefix="INDEX_")

    port: int = setting(50061, unit="port", meaning="gRPC port; 0 takes a free one", ge=0, le=65535)
    release: str = setting(
        "current",
        unit="name",
        meaning="release to serve: a name or pointer in releases_folder, or a folder",
        min_length=1,
    )
    releases_folder: Path = setting(
        DEFAULT_RELEASES_FOLDER, unit="path", meaning="where names and pointers are looked up"
    )
    shard: int = setting(0, unit="number", meaning="shard of the release to serve, from 0", ge=0)
    nprobe: int = setting(
        0, unit="lists", meaning="lists a search scans unless it says; 0 is the release's", ge=0
    )
    max_k: int = setting(1000, unit="passages", meaning="largest k of a search", ge=1)
    max_nprobe: int = setting(
        4096,
        unit="lists",
        meaning="largest nprobe of a search; from nlist up to here all lists are scanned",
        ge=1,
    )
    max_lanes: int = setting(1000, unit="lanes", meaning="most lanes one search names", ge=1)
    max_excluded: int = setting(
        10_000, unit="passages", meaning="most passages one search excludes", ge=0
    )

    def limits(self) -> SearchLimits:
        """The most that one search may ask for."""
        return SearchLimits(self.max_k, self.max_nprobe, self.max_lanes, self.max_excluded)
