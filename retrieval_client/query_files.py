"""Queries out of files: a vector as NumPy writes it, a context as lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval_core.errors import InvalidInput

if TYPE_CHECKING:
    from retrieval_client.queries import ContextItem, Vector


def read_vector(path: Path) -> Vector:
    """The one vector in a NumPy file; anything else raises InvalidInput. Pickles are refused."""
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput("vector", f"{path}: {error}", reason="UNREADABLE_FILE") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InvalidInput("vector", f"{path}: is not one array of numbers", reason="WRONG_TYPE")
    return array.astype(np.float32)


def read_context(path: Path) -> list[ContextItem]:
    """The passages in a context file, in order; lines without anything are left out."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("context", f"{path}: {error}", reason="UNREADABLE_FILE") from error
    if not lines or not lines[0].lstrip().startswith("{"):
        return [*lines]
    return [_context_item(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]


def _context_item(line: str, place: str) -> ContextItem:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise InvalidInput("context", f"{place}: {error}", reason="NOT_JSON") from error
    match entry:
        case {"text": str(text)} if len(entry) == 1:
            return text
        case {"vector": list(vector)} if len(entry) == 1:
            return vector
    raise InvalidInput(
        "context", f'{place}: expected {{"text": …}} or {{"vector": […]}}', reason="CONTEXT_ITEM"
    )
