"""An artifact store: files behind a URL, in any place that fsspec knows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec  # type: ignore[import-untyped]

from retrieval_core.errors import InvalidInput, RetrievalError, Unavailable

_BLOCK_BYTES = 8 << 20


class Store:
    """Files by their path below the URL, such as `s3://bucket/releases` or a folder's path.

    Every method raises Unavailable, with what the store said, where it cannot do its work.
    """

    def __init__(self, url: str) -> None:
        """InvalidInput for a URL that fsspec, or a package it needs for it, does not know."""
        try:
            # A cached one would know nothing of an endpoint or a key that changed since.
            self._files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True)
        except (ImportError, ValueError) as error:
            raise InvalidInput("url", f"{url!r}: {error}", reason="UNKNOWN_STORE") from error
        self._root = root.rstrip("/")
        self.url = url.rstrip("/")

    def folders(self) -> list[str]:
        """Names of the folders right below the URL, sorted; none where there is no such place."""
        with self._errors():
            try:
                entries = self._files.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        folders = [entry["name"].rstrip("/") for entry in entries if entry["type"] == "directory"]
        return sorted(name.rpartition("/")[2] for name in folders)

    def holds(self, path: str) -> bool:
        """Whether there is a file at the path."""
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """Bytes of the file, or None where there is none."""
        with self._errors():
            try:
                # Not isfile, which takes a store that is gone for one without the file.
                facts = self._files.info(self._at(path))
            except FileNotFoundError:
                return None
        return int(facts["size"]) if facts["type"] == "file" else None

    def sha256(self, path: str) -> str:
        """Hex digest of the file, which is read for it."""
        digest = hashlib.sha256()
        with self._errors(), self._files.open(self._at(path), "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def read(self, path: str) -> bytes:
        """All of a small file."""
        with self._errors():
            return bytes(self._files.cat_file(self._at(path)))

    def put(self, source: Path, path: str) -> None:
        """Copy a file into the store, over one that is there."""
        with self._errors():
            target = self._at(path)
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(source), target)

    def download(self, path: str, target: Path) -> None:
        """Append to `target` what it lacks of the file, so that a copy that stopped goes on."""
        done = target.stat().st_size if target.is_file() else 0
        with (
            self._errors(),
            self._files.open(self._at(path), "rb") as source,
            target.open("ab") as file,
        ):
            source.seek(done)
            while block := source.read(_BLOCK_BYTES):
                file.write(block)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        # Others write to the store as well, so that what it said a moment ago says nothing.
        self._files.invalidate_cache()
        try:
            yield
        except RetrievalError:
            raise
        except Exception as error:
            # Every kind of store raises errors of its own, which share no base but this.
            raise Unavailable(
                f"{self.url}: {type(error).__name__}: {error}", reason="STORE_FAILED"
            ) from error
