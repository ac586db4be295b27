"""Releases to and from an artifact store: verified on the way, resumed where they stopped.

URL/NAME/...                     the files of the release; manifest.json comes last, and without it
                                 there is no release
URL/NAME.operating_point.json    its operating point, where it has one
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from releases.bundle import Release, check_file, open_release
from releases.catalog import check_release_name
from releases.checksums import CHECKSUMS_NAME
from releases.durable import write_bytes_durably
from releases.manifest import MANIFEST_NAME, FileRecord
from releases.operating_point import operating_point_path, read_operating_point
from releases.stores import Store
from releases.writing import give_name, lock_build
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact, FailedPrecondition, NotFound

_PULLING_PREFIX = ".pulling-"
_PART_SUFFIX = ".part"

Report = Callable[[str, int], object]
"""Told the name of a file that was copied, and its bytes."""


def tell_nobody(name: str, size: int) -> None:
    """A Report that goes nowhere."""
    del name, size


@dataclass(slots=True)
class Transfer:
    """Names of the files that were copied, and of those that were there already."""

    release_id: str
    copied: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    copied_bytes: int = 0

    def count(self, name: str, record: FileRecord, report: Report) -> None:
        """One file more was copied."""
        self.copied.append(name)
        self.copied_bytes += record.bytes
        report(name, record.bytes)


def stored_releases(store: Store) -> list[str]:
    """Names of the releases that the store holds as a whole, sorted."""
    return [name for name in store.folders() if store.holds(f"{name}/{MANIFEST_NAME}")]


def push_release(store: Store, release: Release, report: Report = tell_nobody) -> Transfer:
    """Verify a release whole and copy it to the store; a push that was interrupted goes on.

    What is there already is read and compared, not trusted. Raises DamagedArtifact for a damaged
    release, and FailedPrecondition where the store holds another one of that name.
    """
    release.verify()
    transfer = Transfer(release.release_id)
    if store.holds(f"{release.release_id}/{MANIFEST_NAME}"):
        _check_is_same(store, release)
        transfer.present += release.manifest.files
    else:
        for name, record in release.manifest.files.items():
            _push_file(store, release, name, record, transfer, report)
        for name in (CHECKSUMS_NAME, MANIFEST_NAME):
            store.put(release.folder / name, f"{release.release_id}/{name}")
    if (point := operating_point_path(release)).is_file():
        store.put(point, point.name)
    return transfer


def pull_release(
    store: Store, name: str, releases_folder: Path, report: Report = tell_nobody
) -> Transfer:
    """Copy a release out of the store; it gets its name only once it is verified whole.

    A pull that was interrupted goes on where it was, within a file too. Raises NotFound for a name
    that the store lacks, DamagedArtifact for a file that is not what the manifest says, and
    FailedPrecondition where another release has the name.
    """
    check_release_name(name)
    if not store.holds(f"{name}/{MANIFEST_NAME}"):
        there = ", ".join(stored_releases(store)) or "none"
        raise NotFound(f"no release {name!r} at {store.url} (there: {there})")
    transfer = Transfer(name)
    with lock_build(releases_folder, name) as work:
        if (releases_folder / name).exists():
            release = open_release(releases_folder / name)
            _check_is_same(store, release)
            release.verify()
            transfer.present += release.manifest.files
        else:
            release = _pull_files(store, transfer, releases_folder, report)
        with contextlib.suppress(OSError):
            # A build of that name may have left encoded partitions, which are not ours.
            work.rmdir()
    _pull_point(store, release)
    return transfer


def _push_file(  # noqa: PLR0913, PLR0917 -- from where to where, and who is told
    store: Store,
    release: Release,
    name: str,
    record: FileRecord,
    transfer: Transfer,
    report: Report,
) -> None:
    path = f"{release.release_id}/{name}"
    if store.size(path) == record.bytes and store.sha256(path) == record.sha256:
        transfer.present.append(name)
        return
    store.put(release.folder / name, path)
    transfer.count(name, record, report)


def _pull_files(store: Store, transfer: Transfer, releases_folder: Path, report: Report) -> Release:
    partial = releases_folder / f"{_PULLING_PREFIX}{transfer.release_id}"
    partial.mkdir(exist_ok=True)
    for name in (CHECKSUMS_NAME, MANIFEST_NAME):
        content = store.read(f"{transfer.release_id}/{name}")
        write_bytes_durably(partial / name, content)
    release = open_release(partial)
    if release.release_id != transfer.release_id:
        raise DamagedArtifact(
            f"{store.url}/{transfer.release_id}/{MANIFEST_NAME}: is of {release.release_id!r}"
        )
    _drop_unlisted(release)
    for name, record in release.manifest.files.items():
        if _is_whole(partial / name, record):
            transfer.present.append(name)
            continue
        _pull_file(store, release, name, record)
        transfer.count(name, record, report)
    return give_name(partial, releases_folder, transfer.release_id)


def _pull_file(store: Store, release: Release, name: str, record: FileRecord) -> None:
    target = release.folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + _PART_SUFFIX)
    store.download(f"{release.release_id}/{name}", part)
    try:
        check_file(part, record)
    except DamagedArtifact as error:
        # Whether the store or an older part is to blame: the next pull begins this file anew.
        part.unlink(missing_ok=True)
        reason = error.message.partition(": ")[2]
        raise DamagedArtifact(f"{store.url}/{release.release_id}/{name}: {reason}") from error
    part.replace(target)


def _is_whole(path: Path, record: FileRecord) -> bool:
    try:
        check_file(path, record)
    except DamagedArtifact:
        return False
    return True


def _drop_unlisted(release: Release) -> None:
    """Whatever an earlier pull left there of a release that the store no longer holds."""
    files = release.manifest.files
    known = {*files, *(name + _PART_SUFFIX for name in files), MANIFEST_NAME, CHECKSUMS_NAME}
    for path in release.folder.rglob("*"):
        if path.is_file() and path.relative_to(release.folder).as_posix() not in known:
            path.unlink()


def _check_is_same(store: Store, release: Release) -> None:
    content = store.sha256(f"{release.release_id}/{MANIFEST_NAME}")
    if content != sha256_of_file(release.folder / MANIFEST_NAME):
        raise FailedPrecondition(
            f"another release {release.release_id!r} is at {store.url} than in "
            f"{release.folder.parent}; releases never change, so one of them needs another name",
            reason="RELEASE_EXISTS",
        )


def _pull_point(store: Store, release: Release) -> None:
    path = operating_point_path(release)
    if path.exists() or not store.holds(path.name):
        return
    write_bytes_durably(path, store.read(path.name))
    try:
        read_operating_point(release)
    except DamagedArtifact:
        path.unlink()
        raise
