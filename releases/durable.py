"""Writes that survive a crash: synced files and folders, and names that change in one step."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_READ_ONLY = 0o444


def sync_file(path: Path) -> None:
    """Wait until the bytes of the file are on the disk."""
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder are on the disk."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_tree(root: Path) -> None:
    """Sync every file and folder under `root`, and `root` itself, files first."""
    folders = [root]
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            folders.append(path)
        else:
            sync_file(path)
    for folder in reversed(folders):
        sync_folder(folder)


def make_read_only(root: Path) -> None:
    """Take the right to write from every file under `root`; folders keep it, to be removed by."""
    for path in root.rglob("*"):
        if path.is_file():
            path.chmod(_READ_ONLY)


def write_bytes_durably(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a reader sees the old file, or all of the new one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        temporary.write_bytes(content)
        sync_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def rename_folder_durably(source: Path, target: Path) -> None:
    """Give a folder its final name in one step. FileExistsError if the name is taken."""
    if target.exists() or target.is_symlink():
        # rename() would silently replace an empty folder.
        raise FileExistsError(f"{target} exists")
    source.rename(target)
    sync_folder(target.parent)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
