"""`current` and `previous`: relative links to releases, each switched in one atomic step.

A kill at any moment leaves `current` on the old or on the new release, both verified, and
`previous` on a verified release too; the interrupted switch is simply given again.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from releases.bundle import Release, open_release
from releases.catalog import check_release_name
from releases.corpus_files import point_corpus
from releases.durable import sync_folder
from retrieval_core.errors import DamagedArtifact, FailedPrecondition, NotFound

CURRENT = "current"
PREVIOUS = "previous"
_LOCK_NAME = ".pointers.lock"
_TEMPORARY_PREFIX = ".pointer-"


def read_pointer(releases_folder: Path, pointer: str) -> str | None:
    """Name of the release that `pointer` stands for, or None where it was never set.

    DamagedArtifact for a pointer that is no link, or links to something outside the folder.
    """
    link = releases_folder / pointer
    if not link.is_symlink():
        if link.exists():
            raise DamagedArtifact(f"{link}: is not a symbolic link")
        return None
    target = str(link.readlink())
    if "/" in target or target in (".", ".."):
        raise DamagedArtifact(f"{link}: links to {target!r}, not to a release beside it")
    return target


def switch_current(releases_folder: Path, name: str) -> Release:
    """Verify release `name` whole, then point `current` at it and `previous` at the one before.

    Switching to the release that is current already moves nothing. The link to the current
    corpus's vectors follows. Returns the release. Raises NotFound for an unknown name and
    DamagedArtifact for a damaged release; the pointers then stay.
    """
    check_release_name(name)
    if not (releases_folder / name).is_dir():
        raise NotFound(f"no release {name!r} under {releases_folder}")
    with lock_pointers(releases_folder):
        release = open_release(releases_folder / name)
        before = read_pointer(releases_folder, CURRENT)
        if before != name:
            release.verify()
            # In this order there is no moment at which the way back is lost.
            if before is not None:
                _point(releases_folder, PREVIOUS, before)
            _point(releases_folder, CURRENT, name)
        point_corpus(releases_folder, name)
        return release


def switch_back(releases_folder: Path) -> Release:
    """Point `current` at the previous release; given twice it returns to where it began.

    NotFound without a previous release. FailedPrecondition where that is the current one: a switch
    was killed half way, and only its operator knows which release was meant.
    """
    previous = read_pointer(releases_folder, PREVIOUS)
    if previous is None:
        raise NotFound(f"there is no previous release under {releases_folder}")
    if previous == read_pointer(releases_folder, CURRENT):
        raise FailedPrecondition(
            f"`previous` is {previous!r}, which is current: a switch was interrupted; name the "
            "release to go to",
            reason="SWITCH_INTERRUPTED",
        )
    return switch_current(releases_folder, previous)


def _point(releases_folder: Path, pointer: str, name: str) -> None:
    temporary = releases_folder / f"{_TEMPORARY_PREFIX}{secrets.token_hex(6)}"
    temporary.symlink_to(name)
    temporary.replace(releases_folder / pointer)
    sync_folder(releases_folder)


@contextmanager
def lock_pointers(releases_folder: Path) -> Iterator[None]:
    """Hold the only right to move the pointers; others wait."""
    with (releases_folder / _LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Under the lock, links of this kind can only be what a killed switch left behind.
        for stale in releases_folder.glob(f"{_TEMPORARY_PREFIX}*"):
            stale.unlink(missing_ok=True)
        yield
