"""Words of a text, and pieces of those that are too long to be words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from building.packing import Word
from building.tokens import TokenCounter

_WORD = re.compile(r"\S+")
_WINDOW_CHARACTERS_PER_TOKEN = 16


def word_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Spans without white space in text[start:end]."""
    return [match.span() for match in _WORD.finditer(text, start, end)]


def split_long_word(
    text: str, span: tuple[int, int], tokens: TokenCounter, limit: int
) -> Iterator[Word]:
    """Pieces of at most `limit` tokens (or one character), cut where tokens end."""
    start, end = span
    while start < end:
        # Only a window is tokenised, so that a megabyte without white space stays linear.
        window = text[start : min(end, start + limit * _WINDOW_CHARACTERS_PER_TOKEN)]
        cut = start + _piece_length(window, tokens.spans(window), limit, start + len(window) == end)
        yield Word(start, cut, tokens.count([text[start:cut]])[0])
        start = cut


def _piece_length(
    window: str, token_spans: list[tuple[int, int]], limit: int, is_rest: bool
) -> int:
    if len(token_spans) <= limit:
        # The last token of a window may be cut off by the window itself.
        ends = [end for _, end in token_spans if is_rest or end < len(window)]
        return len(window) if is_rest or not ends else max(ends)
    ends = [end for _, end in token_spans[:limit] if end < len(window)]
    return max(ends, default=1) or 1
