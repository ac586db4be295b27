"""The folder of releases: which names it holds, and what an operator's word for one resolves to."""

from __future__ import annotations

import re
from pathlib import Path

from releases.manifest import MANIFEST_NAME
from retrieval_core.errors import InvalidInput, NotFound

POINTER_NAMES = ("current", "previous")
DEFAULT_RELEASES_FOLDER = Path("artifacts/releases")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def check_release_name(name: str) -> None:
    """Raise InvalidInput unless `name` can be the name of a release: one plain path part."""
    if name in POINTER_NAMES:
        raise InvalidInput("name", f"{name!r} is a pointer to a release", reason="RESERVED_NAME")
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "name",
            f"{name!r} must be 1 to 100 letters, digits or any of . _ + - and start with a letter "
            "or digit",
            reason="INVALID_NAME",
        )


def release_names(releases_folder: Path) -> list[str]:
    """Names of the finished releases, sorted; pointers and unfinished builds are left out."""
    if not releases_folder.is_dir():
        return []
    return sorted(
        entry.name
        for entry in releases_folder.iterdir()
        if _NAME.fullmatch(entry.name)
        and not entry.is_symlink()
        and (entry / MANIFEST_NAME).is_file()
    )


def resolve_release(release: str, releases_folder: Path = DEFAULT_RELEASES_FOLDER) -> Path:
    """The real folder behind a release's name, a pointer (`current`) or a path to a folder.

    A name under `releases_folder` wins over a folder of that name in the working directory.
    Pointers are followed once, so that a later switch changes nothing for the caller. Raises
    NotFound, saying which releases there are.
    """
    named = releases_folder / release if _NAME.fullmatch(release) else None
    for folder in (named, Path(release)):
        if folder is not None and (folder / MANIFEST_NAME).is_file():
            return folder.resolve()
    known = ", ".join(release_names(releases_folder)) or "none"
    raise NotFound(
        f"no release {release!r}: neither a folder with a {MANIFEST_NAME}, nor a name or pointer "
        f"under {releases_folder} (there: {known})"
    )
