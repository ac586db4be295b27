"""Releases that the local stack says it serves, whatever shape its files have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from releases.catalog import release_names

STATE_FILES = ("stack.json", "arms.json")


def served_releases(run_folder: Path, releases_folder: Path) -> set[str]:
    """Names of releases that the stack's files mention by name or by a path into them.

    More than what is served may be named, never less: a name that stands anywhere counts. A file
    that is missing or cannot be read names nothing.
    """
    known = set(release_names(releases_folder))
    mentioned: set[str] = set()
    for name in STATE_FILES:
        for text in _texts(_content(run_folder / name)):
            mentioned |= {text, *_parts_of_paths(text)}
    return mentioned & known


def _content(path: Path) -> Any:  # noqa: ANN401 -- whatever JSON holds
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _parts_of_paths(text: str) -> set[str]:
    return set(Path(text).parts) if "/" in text else set()
