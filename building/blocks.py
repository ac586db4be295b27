"""Blocks of a text by their markup: prose, code that stays whole if it can, and headings."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass

from building.records import Markup


class Kind(enum.Enum):
    """What a block is, and so how it may be cut."""

    PROSE = "prose"
    CODE = "code"
    HEADING = "heading"


@dataclass(frozen=True, slots=True)
class Block:
    """text[start:end], line breaks at its end included; blocks follow each other without gaps."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text: its span with the line break, and its content without."""

    start: int
    end: int
    content: str

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing but white space."""
        return not self.content.strip()

    @property
    def indent(self) -> int:
        """Number of leading white space characters."""
        return len(self.content) - len(self.content.lstrip())


_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX_HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")
_SETEXT_UNDERLINE = re.compile(r" {0,3}(=+|-+)\s*")
_RST_UNDERLINE = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*")
_RST_CODE_DIRECTIVE = re.compile(r"\s*\.\. (code|code-block|sourcecode|parsed-literal|math)::")


def split_blocks(text: str, markup: Markup) -> list[Block]:
    """Blocks that cover the whole text in order. Plain text is one block of prose."""
    if markup == "plain":
        return [Block(0, len(text), Kind.PROSE)] if text else []
    lines = _lines(text)
    kinds = _markdown_kinds(lines) if markup == "markdown" else _rst_kinds(lines)
    return _joined(lines, kinds)


def _lines(text: str) -> list[Line]:
    # Not splitlines(): form feeds and Unicode separators do not end a line of markup.
    lines, start = [], 0
    for content in text.split("\n"):
        end = min(start + len(content) + 1, len(text))
        if end > start:
            lines.append(Line(start, end, content))
        start = end
    return lines


def _joined(lines: list[Line], kinds: list[tuple[Kind, int]]) -> list[Block]:
    """Blocks from one (kind, number of the group) a line; lines of one group are one block."""
    blocks: list[Block] = []
    previous: tuple[Kind, int] | None = None
    for line, kind in zip(lines, kinds, strict=True):
        if kind == previous:
            blocks[-1] = Block(blocks[-1].start, line.end, kind[0])
        else:
            blocks.append(Block(line.start, line.end, kind[0]))
        previous = kind
    return blocks


def _markdown_kinds(lines: list[Line]) -> list[tuple[Kind, int]]:
    kinds: list[tuple[Kind, int]] = []
    while len(kinds) < len(lines):
        at = len(kinds)
        if code := _fenced_length(lines, at) or _table_length(lines, at):
            kinds.extend([(Kind.CODE, at)] * code)
        elif heading := _markdown_heading_length(lines, at):
            kinds.extend([(Kind.HEADING, at)] * heading)
        else:
            kinds.append((Kind.PROSE, _group(kinds, at)))
    return kinds


def _rst_kinds(lines: list[Line]) -> list[tuple[Kind, int]]:
    kinds: list[tuple[Kind, int]] = []
    while len(kinds) < len(lines):
        at = len(kinds)
        if heading := _rst_heading_length(lines, at):
            kinds.extend([(Kind.HEADING, at)] * heading)
        elif code := _doctest_length(lines, at):
            kinds.extend([(Kind.CODE, at)] * code)
        elif _RST_CODE_DIRECTIVE.match(lines[at].content):
            kinds.extend([(Kind.CODE, at)] * (1 + _indented_length(lines, at)))
        else:
            kinds.append((Kind.PROSE, _group(kinds, at)))
            if lines[at].content.rstrip().endswith("::"):
                length = _indented_length(lines, at)
                kinds.extend([(Kind.CODE, at + 1)] * length)
    return kinds


def _group(kinds: list[tuple[Kind, int]], at: int) -> int:
    """The number of the prose that line `at` goes on with, or a new one."""
    return kinds[-1][1] if kinds and kinds[-1][0] is Kind.PROSE else at


def _fenced_length(lines: list[Line], at: int) -> int:
    opening = _FENCE.match(lines[at].content)
    if opening is None:
        return 0
    for number in range(at + 1, len(lines)):
        content = lines[number].content.strip()
        if content.startswith(opening[1]) and not content.strip(opening[1][0]):
            return number - at + 1
    return len(lines) - at


def _table_length(lines: list[Line], at: int) -> int:
    return _run(lines, at, lambda line: line.content.lstrip().startswith("|"))


def _doctest_length(lines: list[Line], at: int) -> int:
    if not lines[at].content.lstrip().startswith(">>>"):
        return 0
    return _run(lines, at, lambda line: not line.is_blank)


def _indented_length(lines: list[Line], at: int) -> int:
    """Lines after `at` that are indented deeper; blank lines at the end do not belong to them."""
    length = 0
    for number in range(at + 1, len(lines)):
        if lines[number].is_blank:
            continue
        if lines[number].indent <= lines[at].indent:
            break
        length = number - at
    return length


def _markdown_heading_length(lines: list[Line], at: int) -> int:
    if _ATX_HEADING.match(lines[at].content):
        return 1
    begins_paragraph = at == 0 or lines[at - 1].is_blank
    if begins_paragraph and not lines[at].is_blank and at + 1 < len(lines):
        return 2 if _SETEXT_UNDERLINE.fullmatch(lines[at + 1].content) else 0
    return 0


def _rst_heading_length(lines: list[Line], at: int) -> int:
    if _is_underlined(lines, at):
        return 2
    overlined = _RST_UNDERLINE.fullmatch(lines[at].content.strip())
    return 3 if overlined and at + 1 < len(lines) and _is_underlined(lines, at + 1) else 0


def _is_underlined(lines: list[Line], at: int) -> bool:
    if at + 1 >= len(lines) or lines[at].is_blank:
        return False
    title, underline = lines[at].content.strip(), lines[at + 1].content.strip()
    return (
        bool(_RST_UNDERLINE.fullmatch(underline))
        and not _RST_UNDERLINE.fullmatch(title)
        and len(underline) >= len(title)
    )


def _run(lines: list[Line], at: int, belongs: Callable[[Line], bool]) -> int:
    end = at
    while end < len(lines) and belongs(lines[end]):
        end += 1
    return end - at
