"""checksums.txt: the digests of a release's files, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from retrieval_core.errors import DamagedArtifact

CHECKSUMS_NAME = "checksums.txt"
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>.+)")


def checksum_lines(digests: Mapping[str, str]) -> bytes:
    """One `digest  name` line a file, sorted by name. ValueError for a name with a line break."""
    for name in digests:
        if "\n" in name or "\\" in name:
            raise ValueError(f"{name!r} cannot stand in {CHECKSUMS_NAME}")
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def read_checksums(folder: Path) -> dict[str, str]:
    """Digest by file name of the release in `folder`; DamagedArtifact names the bad line."""
    path = folder / CHECKSUMS_NAME
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedArtifact(f"{path}: cannot be read ({error})") from error
    digests = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise DamagedArtifact(f"{path}, line {number}: is not `digest  name`")
        digests[match["name"]] = match["digest"]
    return digests
