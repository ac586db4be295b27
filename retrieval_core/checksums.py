"""sha256 of files and the fingerprint that a set of files has together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

_BLOCK_BYTES = 1 << 20


def sha256_of_file(path: Path) -> str:
    """Hex digest of the file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def fingerprint_of(digests: Mapping[str, str]) -> str:
    """`sha256:` and the digest over `name:digest` lines, names sorted."""
    text = "".join(f"{name}:{digests[name]}\n" for name in sorted(digests))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
