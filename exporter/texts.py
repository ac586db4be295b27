"""English text of chosen lengths that every machine has: the standard library's docstrings."""

from __future__ import annotations

import ast
import json
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

# Words per text; the tokenizer makes about two tokens of a word of this corpus.
_WORD_TARGETS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 200, 360)


def read_texts(path: Path) -> list[str]:
    """Texts of a JSON lines file, one object with a string `text` a line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [str(json.loads(line)["text"]) for line in lines if line.strip()]


def docstring_texts(count: int, seed: int = 0) -> list[str]:
    """`count` texts of 1 to 360 words, evenly spread over the target lengths.

    The same interpreter version and seed give the same texts.
    """
    words = [word for text in _docstrings() for word in text.split()]
    chooser = random.Random(seed)  # noqa: S311  (sampling, not secrecy)
    return [
        _slice(words, _WORD_TARGETS[index % len(_WORD_TARGETS)], chooser) for index in range(count)
    ]


def _slice(words: list[str], length: int, chooser: random.Random) -> str:
    start = chooser.randrange(len(words) - length)
    return " ".join(words[start : start + length])


def _docstrings() -> Iterator[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield text
