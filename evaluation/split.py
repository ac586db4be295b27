"""The one split by article that every training and evaluation command shares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

Part = Literal["train", "validation", "evaluation"]

EVALUATION_SHARE = 0.12
VALIDATION_SHARE = 0.06


def article_position(title: str) -> float:
    """A fixed position in [0, 1) for an article's title, equal on every machine and run."""
    digest = hashlib.sha256(title.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def article_part(title: str) -> Part:
    """The part that an article, and with it each of its passages and questions, belongs to."""
    position = article_position(title)
    if position < EVALUATION_SHARE:
        return "evaluation"
    if position < EVALUATION_SHARE + VALIDATION_SHARE:
        return "validation"
    return "train"


def split_articles(titles: Iterable[str]) -> Mapping[Part, list[str]]:
    """The distinct titles of each part, sorted."""
    parts: dict[Part, list[str]] = {"train": [], "validation": [], "evaluation": []}
    for title in sorted(set(titles)):
        parts[article_part(title)].append(title)
    return parts
