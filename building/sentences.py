"""Where sentences end: full stops that are none (abbreviations, initials, numbering) are passed."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CLOSING = "\"'\u201d\u2019\u00bb)\\]*_`"
_OPENING = "(\"'\u201c\u2018\u00ab[*_`"
_EAST_ASIAN_STOPS = "\u3002\uff01\uff1f\uff61"
_EAST_ASIAN_CLOSING = "\u300d\u300f\u201d\u2019\uff09\u3011"
_CANDIDATE = re.compile(
    rf"(?P<stop>[.!?\u2026]+)[{_CLOSING}]*(?=\s)"
    rf"|[{_EAST_ASIAN_STOPS}]+[{_EAST_ASIAN_CLOSING}]*"  # no white space follows these
    r"|\n\s*\n"  # the end of a paragraph
    r"|\n(?=[ \t]*(?:[-*+\u2022]|\d{1,3}[.)])[ \t])"  # the item of a list
    r"|\n(?=[ \t]*[*`:\w.]{1,40}(?: \([^)\n]{0,80}\))?:\s)"  # an entry, `name (type): ...`
)
_ABBREVIATION_LIST = """
    adm approx apr assoc aug ave brig capt cf ch cmdr co col corp dec dept dr ed eds eg eq est etc
    feb fig figs fl ft gen gov hon ie inc jan jr jul jun lt ltd maj messrs mr mrs ms mt nos nov oct
    op pl pp prof pvt rep resp rev sec sen sep sept sgt sr st vol vols vs viz
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_LONGEST_WORD = 40


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Offsets in (start, end] after each sentence of text[start:end]; the last one is `end`."""
    for match in _CANDIDATE.finditer(text, start, end):
        if match.end() < end and (match["stop"] is None or _ends_sentence(text, start, match)):
            yield match.end()
    if end > start:
        yield end


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    following = text[match.end() : match.end() + 8].lstrip()[:1]
    if following.islower():
        return False
    if match["stop"] != ".":
        return True
    words = text[max(start, match.start() - _LONGEST_WORD) : match.start()].split()
    if not words:
        return True
    word = words[-1].lstrip(_OPENING)
    is_initial = len(word) == 1 and word.isalpha() and word.isupper()
    is_numbering = word.isdigit() and _begins_line(text, start, match.start() - len(word))
    return not (
        is_initial or is_numbering or word.lower() in _ABBREVIATIONS or _DOTTED.fullmatch(word)
    )


def _begins_line(text: str, start: int, at: int) -> bool:
    return not text[max(start, text.rfind("\n", start, at) + 1) : at].strip()
