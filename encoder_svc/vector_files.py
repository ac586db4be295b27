"""Vectors on disk: written whole or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from retrieval_core.errors import Overloaded
from retrieval_core.vectors import Float32Matrix


def write_vectors(path: Path, vectors: Float32Matrix) -> None:
    """Write [n, d] as .npy; the same vectors always give the same bytes."""
    with replaced_file(path) as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(vectors), version=(1, 0))


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once its bytes are on disk; nothing else if not.

    A second writer of the same file is refused with Overloaded: two would tear one another's.
    """
    partial = path.with_name(f".{path.name}.partial")
    # Not truncated on opening: the bytes may be those of a writer at work.
    with os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as stream:
        _lock(stream, partial)
        stream.truncate(0)
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)


def _lock(stream: BinaryIO, partial: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another writer may have renamed the file between its opening and its locking here.
        ours = os.path.samestat(os.fstat(stream.fileno()), partial.stat())
    except (BlockingIOError, FileNotFoundError):
        ours = False
    if not ours:
        raise Overloaded(f"{partial}: is being written by another process")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
