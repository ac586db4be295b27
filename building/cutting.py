"""Cuts the records of a corpus into passages: at sentence ends, by tokens, without overlap.

Nothing of a text is lost: the passages of a record, joined, are its text up to white space (and
the name that `continuation` repeats).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from building.blocks import Kind, split_blocks
from building.packing import Packing, Unit, Word
from building.records import Markup, Record
from building.sentences import sentence_ends
from building.tokens import REMEMBERED_CHARACTERS, TokenCounter
from building.words import split_long_word, word_spans

DEFAULT_MAX_TOKENS = 96
SMALLEST_MAX_TOKENS = 8
_LONGEST_COUNTED_WORD = 400
# White space for Python, but not for Unicode and hence not for tokenizers.
_SEPARATORS_AS_SPACES = str.maketrans("\x1c\x1d\x1e\x1f", "    ")

Span = tuple[int, int]


class Cutter:
    """Cuts texts into passages of at most `max_tokens` tokens, special tokens not counted."""

    def __init__(self, tokens: TokenCounter, max_tokens: int = DEFAULT_MAX_TOKENS) -> None:
        if max_tokens < SMALLEST_MAX_TOKENS:
            raise ValueError(f"max_tokens is {max_tokens}, at least {SMALLEST_MAX_TOKENS}")
        self._tokens = tokens
        self._max_tokens = max_tokens

    def prepare(self, records: Iterable[Record]) -> None:
        """Count the words of many texts at once, which is faster than text by text."""
        words = {word for record in records for word in record.text.split()}
        self._tokens.count([word for word in words if len(word) <= REMEMBERED_CHARACTERS])

    def cut(self, record: Record) -> list[str]:
        """The passages of one record, in order; none for a text without a single token.

        A record with a passage_id is one passage as it stands, whatever its length.
        """
        if record.passage_id is not None:
            return (
                [record.text] if self.token_count(record.text) > self._tokens.special_count else []
            )
        text = record.text.translate(_SEPARATORS_AS_SPACES)
        name, later_budget = self._repeated_name(record.continuation)
        packing = Packing(
            self._max_tokens, later_budget, headings_open=record.markup != "docstring"
        )
        for unit in self._units(text, record.markup):
            packing.add(unit)
        spans = self._checked(text, packing.finish(), later_budget)
        passages = [text[start:end] for start, end in spans]
        return passages[:1] + [f"{name}{passage}" for passage in passages[1:]]

    def token_count(self, text: str) -> int:
        """Tokens of a text as the encoder sees it, special tokens included."""
        whole = [text[start:end] for start, end in word_spans(text, 0, len(text))]
        counted = self._tokens.count(whole if self._tokens.is_additive else [text])
        return sum(counted) + self._tokens.special_count

    def _repeated_name(self, continuation: str) -> tuple[str, int]:
        """What to put before later passages, and the tokens left to them."""
        if not continuation:
            return "", self._max_tokens
        name_tokens = self._tokens.count([continuation])[0]
        if name_tokens > self._max_tokens // 2:
            return "", self._max_tokens
        return f"{continuation}\n", self._max_tokens - name_tokens

    def _units(self, text: str, markup: Markup) -> Iterator[Unit]:
        units = [
            (block.kind, _parts(text, block.kind, *span))
            for block in split_blocks(text, markup)
            for span in _unit_spans(text, block.kind, block.start, block.end)
        ]
        counts = self._count_words(
            text, [span for _, parts in units for part in parts for span in part]
        )
        for kind, parts in units:
            counted = tuple(
                tuple(word for span in part for word in self._words(text, span, counts))
                for part in parts
            )
            yield Unit(kind, tuple(part for part in counted if part))

    def _count_words(self, text: str, spans: list[Span]) -> dict[Span, int]:
        countable = [span for span in spans if span[1] - span[0] <= _LONGEST_COUNTED_WORD]
        counts = self._tokens.count([text[start:end] for start, end in countable])
        return dict(zip(countable, counts, strict=True))

    def _words(self, text: str, span: Span, counts: dict[Span, int]) -> Iterator[Word]:
        """One word; or pieces of one that is no word (a key, Chinese without stops)."""
        limit = self._max_tokens // 2
        if (count := counts.get(span)) is not None and count <= limit:
            yield Word(*span, count)
        else:
            yield from split_long_word(text, span, self._tokens, limit)

    def _checked(self, text: str, spans: list[Span], later_budget: int) -> list[Span]:
        """Halves those spans for which the tokenizer counts more than it does for their words."""
        if self._tokens.is_additive:
            return spans
        checked: list[Span] = []
        for span in spans:
            checked.extend(self._halved(text, span, later_budget if checked else self._max_tokens))
        return checked

    def _halved(self, text: str, span: Span, limit: int) -> list[Span]:
        start, end = span
        words = word_spans(text, start, end)
        if len(words) < 2 or self._tokens.count([text[start:end]])[0] <= limit:
            return [span]
        middle = len(words) // 2
        return [
            *self._halved(text, (start, words[middle - 1][1]), limit),
            *self._halved(text, (words[middle][0], end), limit),
        ]


def _unit_spans(text: str, kind: Kind, start: int, end: int) -> Iterator[Span]:
    """What is kept whole where it fits: sentences, headings, blocks of code."""
    if kind is not Kind.PROSE:
        yield start, end
        return
    for stop in sentence_ends(text, start, end):
        yield start, stop
        start = stop


def _parts(text: str, kind: Kind, start: int, end: int) -> list[list[Span]]:
    """Spans of words, grouped by where a unit may be cut if it has to be.

    Code falls between lines, anything else between words.
    """
    if kind is not Kind.CODE:
        return [[span] for span in word_spans(text, start, end)]
    lines = []
    while start < end:
        stop = text.find("\n", start, end) + 1 or end
        lines.append(word_spans(text, start, stop))
        start = stop
    return lines
