"""Writing a release: everything into a hidden folder, then one rename gives it its name."""

from __future__ import annotations

import dataclasses
import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from releases.bundle import Release, open_release
from releases.catalog import check_release_name
from releases.checksums import CHECKSUMS_NAME, checksum_lines
from releases.durable import make_read_only, rename_folder_durably, sync_tree
from releases.layout import VERSION_NAME
from releases.manifest import MANIFEST_NAME, FileRecord, Manifest, manifest_bytes
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import FailedPrecondition, Overloaded

_WORK_FOLDER = ".work"
LOCKS_FOLDER = ".locks"
STAGING_PREFIX = ".staging-"


@contextmanager
def lock_build(releases_folder: Path, name: str) -> Iterator[Path]:
    """Hold the only right to build `name`; yields a folder for work that a killed build resumes.

    InvalidInput for an unusable name. Overloaded when another process is building that name.
    """
    check_release_name(name)
    work = releases_folder / _WORK_FOLDER / name
    work.mkdir(parents=True, exist_ok=True)
    locks = releases_folder / LOCKS_FOLDER
    locks.mkdir(exist_ok=True)
    with (locks / name).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Overloaded(
                f"release {name!r} is being built by another process", reason="BUILD_RUNNING"
            ) from error
        yield work


@contextmanager
def staging_folder(releases_folder: Path, name: str) -> Iterator[Path]:
    """An empty hidden folder beside the releases; gone afterwards unless it was published.

    Needs the lock of `name`: what a killed build left there is removed.
    """
    staging = releases_folder / f"{STAGING_PREFIX}{name}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def publish_release(staging: Path, releases_folder: Path, manifest: Manifest) -> Release:
    """Seal the staged files and give the release its name, in one step that survives a crash.

    Writes VERSION, manifest.json (with the records of all staged files) and checksums.txt. Raises
    FailedPrecondition when the name is taken: a release never changes.
    """
    name = manifest.release_id
    (staging / VERSION_NAME).write_text(f"{name}\n", encoding="utf-8")
    files = record_files(staging)
    (staging / MANIFEST_NAME).write_bytes(
        manifest_bytes(dataclasses.replace(manifest, files=files))
    )
    digests = {path: record.sha256 for path, record in files.items()}
    digests[MANIFEST_NAME] = sha256_of_file(staging / MANIFEST_NAME)
    (staging / CHECKSUMS_NAME).write_bytes(checksum_lines(digests))
    return give_name(staging, releases_folder, name)


def give_name(sealed: Path, releases_folder: Path, name: str) -> Release:
    """Make the sealed files read-only and rename their folder to the release's name.

    What is on the disk after a crash is either no release of that name or all of it. Raises
    FailedPrecondition when the name is taken.
    """
    make_read_only(sealed)
    sync_tree(sealed)
    try:
        rename_folder_durably(sealed, releases_folder / name)
    except FileExistsError as error:
        raise FailedPrecondition(
            f"release {name!r} exists; releases never change", reason="RELEASE_EXISTS"
        ) from error
    return open_release(releases_folder / name)


def record_files(folder: Path) -> Mapping[str, FileRecord]:
    """Digest and length of every file under `folder`, by POSIX path, sorted."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(sha256_of_file(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def discard_work(work: Path) -> None:
    """Remove what only a resumed build would need."""
    shutil.rmtree(work, ignore_errors=True)
