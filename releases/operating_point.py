"""The operating point of a release: settings found by measuring it after it was sealed.

A release never changes, so the point stands beside it: `<releases>/<name>.operating_point.json`. It
names the very manifest that it was measured on and carries a digest of itself; a point that was
edited, or belongs to another build of that name, is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from releases.bundle import Release
from releases.durable import write_bytes_durably
from releases.json_fields import read_json_object
from releases.manifest import MANIFEST_NAME
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact

FORMAT = "retrieval-operating-point/1"
SUFFIX = ".operating_point.json"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """nprobe, when it was measured (RFC 3339 in UTC), and the figures it was picked by.

    `loss_pp` is R@10 minus that of exact search, in percentage points.
    """

    nprobe: int
    created: str
    loss_pp: float
    p95_ms: float


def operating_point_path(release: Release) -> Path:
    """Where the point of this release stands, whether there is one or not."""
    return release.folder.parent / f"{release.release_id}{SUFFIX}"


def write_operating_point(release: Release, point: OperatingPoint) -> Path:
    """Write the point in one step, over an older one; returns its path.

    ValueError for an nprobe that the release's index does not have.
    """
    if not 1 <= point.nprobe <= release.manifest.nlist:
        raise ValueError(f"nprobe is {point.nprobe}, must be 1 to {release.manifest.nlist}")
    values: dict[str, Any] = {
        "format": FORMAT,
        "release_id": release.release_id,
        "manifest_sha256": _manifest_digest(release),
        "created": point.created,
        "nprobe": point.nprobe,
        "loss_pp": point.loss_pp,
        "p95_ms": point.p95_ms,
    }
    path = operating_point_path(release)
    sealed = {**values, "seal": _seal(values)}
    write_bytes_durably(path, (json.dumps(sealed, indent=2) + "\n").encode())
    return path


def read_operating_point(release: Release) -> OperatingPoint | None:
    """The release's point, or None where none was ever written.

    DamagedArtifact for a point that was altered or was measured on another build.
    """
    path = operating_point_path(release)
    if not path.exists():
        return None
    fields = read_json_object(path)
    if fields.text("format") != FORMAT:
        raise fields.wrong("format", repr(FORMAT))
    unsealed = {key: value for key, value in fields.values.items() if key != "seal"}
    if fields.text("seal") != _seal(unsealed):
        raise DamagedArtifact(f"{path}: was altered after it was written")
    if fields.text("manifest_sha256") != _manifest_digest(release):
        raise DamagedArtifact(f"{path}: was measured on another build of {release.release_id}")
    nprobe = fields.integer("nprobe")
    if not 1 <= nprobe <= release.manifest.nlist:
        raise fields.wrong("nprobe", f"1 to {release.manifest.nlist}")
    return OperatingPoint(
        nprobe, fields.text("created"), fields.number("loss_pp"), fields.number("p95_ms")
    )


def measured_nprobe(release: Release) -> int:
    """The nprobe to serve with: that of the operating point, or of the manifest without one."""
    point = read_operating_point(release)
    return release.manifest.nprobe if point is None else point.nprobe


def _manifest_digest(release: Release) -> str:
    return sha256_of_file(release.folder / MANIFEST_NAME)


def _seal(values: dict[str, Any]) -> str:
    content = json.dumps(values, sort_keys=True, separators=(",", ":")).encode()
    return "sha256:" + hashlib.sha256(content).hexdigest()
