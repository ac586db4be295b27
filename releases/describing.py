"""One release in a few facts, damaged ones included, as lists of releases show them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from releases.bundle import open_release
from releases.operating_point import measured_nprobe
from releases.pointers import CURRENT, PREVIOUS, read_pointer
from releases.serving import is_being_served
from retrieval_core.errors import DamagedArtifact


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """What a release holds, and its state in its folder.

    nprobe is the one in force, `is_served` speaks of this machine, `damage` is empty for a manifest
    that can be trusted; the files are not read. Counts of a damaged release are 0.
    """

    name: str
    created: str
    corpus: str
    passage_count: int
    shard_count: int
    nlist: int
    nprobe: int
    encoder: str
    reranker: str | None
    bytes: int
    pointers: tuple[str, ...]
    is_served: bool
    damage: str


def summarize(releases_folder: Path, name: str) -> ReleaseSummary:
    """The facts of release `name` as they are now."""
    pointers = tuple(p for p in (CURRENT, PREVIOUS) if read_pointer(releases_folder, p) == name)
    served = is_being_served(releases_folder, name)
    try:
        release = open_release(releases_folder / name)
        nprobe = measured_nprobe(release)
    except DamagedArtifact as error:
        return ReleaseSummary(
            name, "", "", 0, 0, 0, 0, "", None, 0, pointers, served, error.message
        )
    manifest = release.manifest
    return ReleaseSummary(
        name=name,
        created=manifest.created,
        corpus=manifest.corpus.name,
        passage_count=manifest.passage_count,
        shard_count=manifest.shard_count,
        nlist=manifest.nlist,
        nprobe=nprobe,
        encoder=manifest.encoder.name,
        reranker=manifest.reranker,
        bytes=sum(record.bytes for record in manifest.files.values()),
        pointers=pointers,
        is_served=served,
        damage="",
    )
