"""The split by article, held by the evaluation so that neither can have another one."""

from __future__ import annotations

from evaluation.split import (
    EVALUATION_SHARE,
    VALIDATION_SHARE,
    Part,
    article_part,
    article_position,
    split_articles,
)

__all__ = [
    "EVALUATION_SHARE",
    "VALIDATION_SHARE",
    "Part",
    "article_part",
    "article_position",
    "split_articles",
]
