"""The vectors of each release's corpus as one file, and a link to that of the current release.

artifacts/corpus/NAME.npz      vectors [n, 768] float32, passage_ids [n] int64, and the sha256 of
                               the manifest that they belong to
artifacts/corpus/current.npz   a relative link to that of the current release
"""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np

from releases.bundle import Release
from releases.durable import sync_file, sync_folder
from releases.manifest import MANIFEST_NAME
from retrieval_core.checksums import sha256_of_file
from retrieval_core.hits import Int64Array
from retrieval_core.vectors import Float32Matrix

CORPUS_FOLDER = "corpus"
CURRENT_NAME = "current.npz"


def corpus_path(releases_folder: Path, name: str) -> Path:
    """Where the vectors of release `name` are: in a folder beside that of the releases."""
    return releases_folder.parent / CORPUS_FOLDER / f"{name}.npz"


def has_corpus_file(release: Release) -> bool:
    """Whether the file is there and of this very build of the release; reads one small member."""
    path = corpus_path(release.folder.parent, release.release_id)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return str(arrays["manifest_sha256"]) == _manifest_digest(release)
    except (OSError, ValueError, KeyError, EOFError):
        return False


def corpus_row_count(path: Path) -> int | None:
    """Passages in such a file, its vectors not read; None where it is no such file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return len(arrays["passage_ids"])
    except (OSError, ValueError, KeyError, EOFError, TypeError):
        return None


def write_corpus_file(release: Release, vectors: Float32Matrix, passage_ids: Int64Array) -> Path:
    """Write the file in one step, over an older one; row i of both is row i of the indexes."""
    path = corpus_path(release.folder.parent, release.release_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("wb") as file:
            np.savez(
                file,
                vectors=vectors,
                passage_ids=passage_ids,
                manifest_sha256=np.array(_manifest_digest(release)),
            )
        sync_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return path


def point_corpus(releases_folder: Path, name: str) -> None:
    """Let current.npz be the file of release `name`; without such a file there is no current.npz.

    A link that stayed on another release's vectors would make every truth built from it wrong.
    """
    target = corpus_path(releases_folder, name)
    link = target.with_name(CURRENT_NAME)
    if not target.is_file():
        if link.is_symlink():
            link.unlink()
        return
    temporary = target.with_name(f".{CURRENT_NAME}.{secrets.token_hex(6)}")
    temporary.symlink_to(target.name)
    temporary.replace(link)
    sync_folder(link.parent)


def _manifest_digest(release: Release) -> str:
    return sha256_of_file(release.folder / MANIFEST_NAME)
