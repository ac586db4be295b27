"""Which releases are being served on this machine: every server holds a shared lock on its own.

The lock ends with the process, however that ends, so that nothing stale is left to clean up. The
file of a lock is never removed: a server may be about to lock it.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from releases.checksums import CHECKSUMS_NAME
from releases.manifest import MANIFEST_NAME
from retrieval_core.errors import FailedPrecondition, NotFound

SERVING_FOLDER = ".serving"
_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Hold:
    """A release that is kept from being removed until `close`, or until the process ends."""

    descriptor: int | None

    def close(self) -> None:
        """Let go; given twice it does nothing."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def hold_release(folder: Path) -> Hold:
    """Keep the release that `folder` is, or lies directly in, from being removed.

    To be called before anything of it is read. Holds nothing where `folder` is no part of a
    release, and, saying so in the log, where no lock can be written beside it: such a place has to
    be kept by other means. NotFound for a release that was removed meanwhile.
    """
    release = _release_around(folder.resolve())
    if release is None:
        return Hold(None)
    try:
        hold = Hold(_open_lock(release.parent, release.name))
    except OSError as error:
        _LOGGER.warning("release %s is served without a lock: %s", release.name, error.strerror)
        return Hold(None)
    if hold.descriptor is not None:
        fcntl.flock(hold.descriptor, fcntl.LOCK_SH)
    if not (release / MANIFEST_NAME).is_file():
        hold.close()
        raise NotFound(f"release {release.name} was removed from {release.parent}")
    return hold


def is_being_served(releases_folder: Path, name: str) -> bool:
    """Whether a process on this machine holds the release."""
    try:
        with claim_release(releases_folder, name):
            return False
    except FailedPrecondition:
        return True


@contextmanager
def claim_release(releases_folder: Path, name: str) -> Iterator[None]:
    """Be the only one who has the release. FailedPrecondition while a process serves it."""
    descriptor = _open_lock(releases_folder, name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise FailedPrecondition(
            f"release {name!r} is being served", reason="RELEASE_SERVED"
        ) from error
    finally:
        os.close(descriptor)


def _release_around(folder: Path) -> Path | None:
    for candidate in (folder, folder.parent):
        if all((candidate / name).is_file() for name in (MANIFEST_NAME, CHECKSUMS_NAME)):
            return candidate
    return None


def _open_lock(releases_folder: Path, name: str) -> int:
    locks = releases_folder / SERVING_FOLDER
    locks.mkdir(exist_ok=True)
    return os.open(locks / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
