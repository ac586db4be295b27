"""Removing releases that nobody needs: never the current, the previous, or one being served."""

from __future__ import annotations

import fcntl
import secrets
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from releases.bundle import open_release
from releases.catalog import release_names
from releases.corpus_files import corpus_path
from releases.durable import sync_folder
from releases.operating_point import SUFFIX
from releases.pointers import CURRENT, PREVIOUS, lock_pointers, read_pointer
from releases.serving import claim_release, is_being_served
from releases.writing import LOCKS_FOLDER, STAGING_PREFIX
from retrieval_core.errors import DamagedArtifact, FailedPrecondition

DEFAULT_KEEP = 3
_REMOVED_PREFIX = ".removed-"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a release, or of a leftover folder; `kept_because` is empty for removal."""

    name: str
    created: str
    bytes: int
    kept_because: str


def plan_collection(
    releases_folder: Path, keep: int = DEFAULT_KEEP, served: Collection[str] = ()
) -> list[Fate]:
    """The fate of every release, newest first; nothing is touched.

    The `keep` newest stay besides those that must; `served` names releases that are known to be
    served, beyond those that a process on this machine holds.
    """
    pointers = {
        read_pointer(releases_folder, pointer): f"is `{pointer}`" for pointer in (PREVIOUS, CURRENT)
    }
    found = [_describe(releases_folder / name) for name in release_names(releases_folder)]
    ordered = sorted(found, key=lambda fate: (fate.created, fate.name), reverse=True)
    return [
        Fate(
            fate.name,
            fate.created,
            fate.bytes,
            pointers.get(fate.name)
            or _why_served(releases_folder, fate.name, served)
            or fate.kept_because
            or (f"is among the {keep} newest" if place < keep else ""),
        )
        for place, fate in enumerate(ordered)
    ]


def find_leftovers(releases_folder: Path) -> list[Fate]:
    """Folders of builds and removals that were killed, and that no process is working on."""
    return [
        Fate(path.name, "", folder_bytes(path), "")
        for path in sorted(releases_folder.glob(".*"))
        if path.is_dir() and _is_left_over(releases_folder, path.name)
    ]


def remove_release(releases_folder: Path, name: str) -> None:
    """Remove a release and what stands beside it; it disappears in one step.

    FailedPrecondition, and nothing is touched, when it is current or previous by now, or a process
    has begun to serve it.
    """
    removed = releases_folder / f"{_REMOVED_PREFIX}{name}-{secrets.token_hex(4)}"
    with lock_pointers(releases_folder), claim_release(releases_folder, name):
        for pointer in (CURRENT, PREVIOUS):
            if read_pointer(releases_folder, pointer) == name:
                raise FailedPrecondition(
                    f"release {name!r} is `{pointer}`", reason="RELEASE_IN_USE"
                )
        (releases_folder / name).rename(removed)
        sync_folder(releases_folder)
    shutil.rmtree(removed)
    (releases_folder / f"{name}{SUFFIX}").unlink(missing_ok=True)
    corpus_path(releases_folder, name).unlink(missing_ok=True)


def remove_leftover(releases_folder: Path, name: str) -> None:
    """Remove one of the folders that find_leftovers named."""
    if _is_left_over(releases_folder, name):
        shutil.rmtree(releases_folder / name)


def folder_bytes(folder: Path) -> int:
    """Sum of the sizes of all files under the folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _describe(folder: Path) -> Fate:
    try:
        created, reason = open_release(folder).manifest.created, ""
    except DamagedArtifact:
        # Whoever damaged it may still want to know how.
        created, reason = "", "is damaged: remove it by hand once it was looked at"
    return Fate(folder.name, created, folder_bytes(folder), reason)


def _why_served(releases_folder: Path, name: str, served: Collection[str]) -> str:
    if name in served:
        return "is served by the running stack"
    return "is served by a process" if is_being_served(releases_folder, name) else ""


def _is_left_over(releases_folder: Path, name: str) -> bool:
    if name.startswith(_REMOVED_PREFIX):
        return True
    if not name.startswith(STAGING_PREFIX):
        return False
    lock = releases_folder / LOCKS_FOLDER / name.removeprefix(STAGING_PREFIX)
    return not lock.exists() or _is_free(lock)


def _is_free(lock: Path) -> bool:
    with lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
