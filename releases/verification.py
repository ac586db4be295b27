"""Everything that is wrong with a release, file by file, where opening it stops at the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from releases.bundle import Release, check_file, open_release
from releases.checksums import CHECKSUMS_NAME
from releases.layout import VERSION_NAME
from releases.manifest import MANIFEST_NAME
from retrieval_core.errors import DamagedArtifact


@dataclass(frozen=True, slots=True)
class Problem:
    """One file, as its path within the release, and what is wrong with it."""

    file: str
    reason: str


def find_problems(folder: Path) -> list[Problem]:
    """All that keeps the folder from being the release it says it is; nothing when it is whole.

    Every file is read. A manifest that cannot be trusted is the one problem found, since nothing
    else can be held against it.
    """
    real = folder.resolve()
    try:
        release = open_release(real)
    except DamagedArtifact as error:
        return [_problem(real, error, MANIFEST_NAME)]
    return [*_bad_files(release), *_unlisted(release), *_misnamed(release)]


def _bad_files(release: Release) -> Iterator[Problem]:
    for name, record in release.manifest.files.items():
        path = release.folder / name
        if path.is_symlink():
            yield Problem(name, "is a link, must be a file")
            continue
        try:
            check_file(path, record)
        except DamagedArtifact as error:
            yield _problem(release.folder, error, name)


def _unlisted(release: Release) -> Iterator[Problem]:
    known = {*release.manifest.files, MANIFEST_NAME, CHECKSUMS_NAME}
    for path in sorted(release.folder.rglob("*")):
        name = path.relative_to(release.folder).as_posix()
        if name not in known and (path.is_symlink() or not path.is_dir()):
            yield Problem(name, "is not listed in the manifest")


def _misnamed(release: Release) -> Iterator[Problem]:
    version = release.folder / VERSION_NAME
    if version.is_file() and version.read_text("utf-8", "replace").strip() != release.release_id:
        yield Problem(VERSION_NAME, f"does not say {release.release_id}")
    if release.folder.name != release.release_id:
        yield Problem(
            MANIFEST_NAME, f"is of {release.release_id}, but the folder is {release.folder.name}"
        )


def _problem(folder: Path, error: DamagedArtifact, name: str) -> Problem:
    """The error's text begins with the absolute path, which is of no use to a reader here."""
    stated, _, reason = error.message.partition(": ")
    try:
        return Problem(Path(stated).relative_to(folder).as_posix(), reason)
    except ValueError:
        return Problem(name, error.message)
