"""What preflight looks at: a release, a running stack, and what was written down of both.

Each part is read when a check first asks for it, and once.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.index_files import IndexFile, read_index
from operations.gateway_http import DEFAULT_GATEWAY, Sample, read_health, read_samples
from releases.bundle import Release, open_release
from releases.catalog import DEFAULT_RELEASES_FOLDER, resolve_release
from releases.layout import FLAT_INDEX_NAME, IVF_INDEX_NAME
from releases.operating_point import measured_nprobe

DEFAULT_TAG = "v0-retriever"
DEFAULT_RETRIEVER = "amn_v0"
_EVALUATIONS = Path("artifacts/eval")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where what preflight reads is kept."""

    releases: Path = DEFAULT_RELEASES_FOLDER
    hits: Path = _EVALUATIONS / "hits50_baseline.jsonl"
    reranked: Path = _EVALUATIONS / "hits50_reranked.jsonl"
    metrics: Path = _EVALUATIONS / "metrics.json"
    rehearsals: Path = Path("artifacts/rehearsals")
    rules: Path = Path("deploy/prometheus")
    repository: Path = Path()


@dataclass(frozen=True, slots=True)
class Pins:
    """What has to be in force. encoder "" is the release's own, nprobe 0 its operating point."""

    encoder: str = ""
    nprobe: int = 0
    retriever_impl: str = DEFAULT_RETRIEVER


@dataclass(frozen=True)
class PreflightSubject:
    """The release to ship, the gateway (HOST:PORT of its HTTP), and what is expected of them."""

    now: dt.datetime
    release_name: str = "current"
    gateway: str = DEFAULT_GATEWAY
    tag: str = DEFAULT_TAG
    most_age_days: float = 7.0
    paths: Paths = Paths()
    pins: Pins = Pins()

    @cached_property
    def release(self) -> Release:
        """The release; NotFound or DamagedArtifact without one."""
        return open_release(resolve_release(self.release_name, self.paths.releases))

    @cached_property
    def flat(self) -> IndexFile:
        """The release's truth, verified."""
        return read_index(self.release.path(FLAT_INDEX_NAME))

    @cached_property
    def ivf(self) -> IndexFile:
        """The release's whole serving index, verified."""
        return read_index(self.release.path(IVF_INDEX_NAME))

    @cached_property
    def nprobe(self) -> int:
        """What has to be in force: the pin, or the release's operating point."""
        return self.pins.nprobe or measured_nprobe(self.release)

    @cached_property
    def health(self) -> dict[str, Any]:
        """What the gateway says of itself; Unavailable where it does not answer."""
        return read_health(self.gateway)

    @cached_property
    def baseline(self) -> dict[str, Any]:
        """The baseline arm out of /health; empty where the gateway names none."""
        arm = (self.health.get("arms") or {}).get("baseline")
        return arm if isinstance(arm, dict) else {}

    @cached_property
    def samples(self) -> list[Sample]:
        """The gateway's metrics."""
        return read_samples(self.gateway)
