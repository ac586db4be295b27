"""A release on disk, opened for reading: nothing of it is trusted before its checksum agrees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from releases.checksums import read_checksums
from releases.layout import ENCODER_FOLDER, PROJECTION_NAME, shard_paths
from releases.manifest import MANIFEST_NAME, FileRecord, Manifest, read_manifest
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact, NotFound


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """Absolute paths of one shard's verified files; row i is the same passage in all three."""

    index: Path
    passages: Path
    projections: Path


@dataclass(frozen=True, slots=True)
class Release:
    """An open release; `folder` is its real place, so that moving a pointer changes nothing."""

    folder: Path
    manifest: Manifest

    @property
    def release_id(self) -> str:
        """The release's name."""
        return self.manifest.release_id

    def path(self, name: str) -> Path:
        """Absolute path of a file that the manifest lists. DamagedArtifact if it lists none."""
        self._record(name)
        return self.folder / name

    def verify(self, names: Iterable[str] | None = None) -> None:
        """Check length and sha256 of the named files, or of all that the manifest lists.

        Raises DamagedArtifact naming the first file that is missing or differs.
        """
        for name in self.manifest.files if names is None else names:
            check_file(self.folder / name, self._record(name))

    def shard_files(self, shard: int) -> ShardFiles:
        """The files of one shard, verified. NotFound for a shard that the release does not have."""
        count = self.manifest.shard_count
        if not 0 <= shard < count:
            raise NotFound(f"release {self.release_id} has shards 0..{count - 1}, not {shard}")
        paths = shard_paths(shard, count)
        self.verify(paths)
        return ShardFiles(*(self.folder / path for path in paths))

    def encoder_folder(self) -> Path:
        """The bundled encoder's model folder, verified."""
        return self._verified_folder(ENCODER_FOLDER)

    def projection_file(self) -> Path:
        """The [dimensions, projection_dimensions] float32 matrix, verified."""
        self.verify([PROJECTION_NAME])
        return self.folder / PROJECTION_NAME

    def _verified_folder(self, folder: str) -> Path:
        names = [name for name in self.manifest.files if name.startswith(f"{folder}/")]
        if not names:
            raise DamagedArtifact(f"{self.folder / MANIFEST_NAME}: lists nothing under {folder}/")
        self.verify(names)
        return self.folder / folder

    def _record(self, name: str) -> FileRecord:
        record = self.manifest.files.get(name)
        if record is None:
            raise DamagedArtifact(f"{self.folder / MANIFEST_NAME}: does not list {name}")
        return record


def open_release(folder: Path) -> Release:
    """Read the manifest and hold it against checksums.txt; files are verified when asked for.

    `folder` may be a pointer; it is resolved once. Raises DamagedArtifact.
    """
    real = folder.resolve()
    manifest = read_manifest(real)
    stated = read_checksums(real)
    if stated.get(MANIFEST_NAME) != sha256_of_file(real / MANIFEST_NAME):
        raise DamagedArtifact(f"{real / MANIFEST_NAME}: sha256 differs from checksums.txt")
    for name, record in manifest.files.items():
        if stated.get(name) != record.sha256:
            raise DamagedArtifact(f"{real / name}: manifest and checksums.txt disagree")
    return Release(real, manifest)


def check_file(path: Path, record: FileRecord) -> None:
    """Raise DamagedArtifact unless the file is there with the length and sha256 of the record."""
    if not path.is_file():
        raise DamagedArtifact(f"{path}: is missing")
    if (size := path.stat().st_size) != record.bytes:
        raise DamagedArtifact(f"{path}: has {size} bytes, the manifest says {record.bytes}")
    if (digest := sha256_of_file(path)) != record.sha256:
        raise DamagedArtifact(f"{path}: sha256 is {digest}, the manifest says {record.sha256}")
