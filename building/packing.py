"""Fills passages with units up to a number of tokens; knows spans and counts, never the text."""

from __future__ import annotations

from dataclasses import dataclass

from building.blocks import Kind


@dataclass(frozen=True, slots=True)
class Word:
    """text[start:end], which holds no white space, and its number of tokens."""

    start: int
    end: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Unit:
    """What is kept whole where it fits; where it does not, it falls between its parts."""

    kind: Kind
    parts: tuple[tuple[Word, ...], ...]

    @property
    def tokens(self) -> int:
        """Sum over its words."""
        return sum(_count(part) for part in self.parts)


class Packing:
    """Packs the units of one text greedily; the first passage may hold more than later ones.

    With `headings_open` a heading begins a passage; in any case it stays with what follows.
    """

    def __init__(self, first_budget: int, later_budget: int, *, headings_open: bool) -> None:
        self._budgets = (first_budget, later_budget)
        self._headings_open = headings_open
        self._spans: list[tuple[int, int]] = []
        self._words: list[Word] = []
        self._tokens = 0
        self._only_headings = True

    def add(self, unit: Unit) -> None:
        """Append the unit to the open passage, or open another where it does not fit."""
        is_heading = unit.kind is Kind.HEADING
        if is_heading and self._headings_open and not self._only_headings:
            self._close()
        if not self._fits(unit.tokens) and not self._holds_a_heading():
            self._close()
        if self._fits(unit.tokens):
            self._append([word for part in unit.parts for word in part])
        else:
            self._append_parts(unit)
        self._only_headings = self._only_headings and is_heading

    def finish(self) -> list[tuple[int, int]]:
        """The spans of all passages, in order; none if no word has a token."""
        self._close()
        return self._spans

    def _fits(self, tokens: int) -> bool:
        return self._tokens + tokens <= self._budgets[bool(self._spans)]

    def _holds_a_heading(self) -> bool:
        """Whether the open passage is a heading that leaves room: it goes with what follows."""
        return 0 < self._tokens <= self._budgets[1] // 2 and self._only_headings

    def _append_parts(self, unit: Unit) -> None:
        for part in unit.parts:
            if not self._fits(_count(part)):
                self._close()
            if self._fits(_count(part)):
                self._append(part)
            else:
                self._append_words(part)

    def _append_words(self, words: tuple[Word, ...]) -> None:
        for word in words:
            if not self._fits(word.tokens):
                self._close()
            self._append([word])

    def _append(self, words: list[Word] | tuple[Word, ...]) -> None:
        self._words.extend(words)
        self._tokens += _count(words)

    def _close(self) -> None:
        if self._tokens:
            self._spans.append((self._words[0].start, self._words[-1].end))
        elif self._words and self._spans:
            # Characters that the tokenizer drops still belong to the text.
            self._spans[-1] = (self._spans[-1][0], self._words[-1].end)
        elif self._words:
            return
        self._words, self._tokens, self._only_headings = [], 0, True


def _count(words: list[Word] | tuple[Word, ...]) -> int:
    return sum(word.tokens for word in words)
