"""Texts to token ids, with what was cut and what cannot be encoded said by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tokenizers import Tokenizer

from retrieval_core.errors import DamagedArtifact, InvalidInput

PAD_ID = 0

FieldNames = Callable[[int], str]
"""The wire name of text i, for errors."""


def field_of_texts(index: int) -> str:
    """Text i of a list of texts."""
    return f"texts[{index}]"


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """Ids as the model takes them, closing token included; `token_count` is before the cut."""

    ids: tuple[int, ...]
    token_count: int

    @property
    def truncated(self) -> bool:
        """Whether the text was longer than the model's maximum."""
        return self.token_count > len(self.ids)


class TextTokenizer:
    """A fast tokenizer, immutable once loaded; safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens

    @classmethod
    def load(cls, path: Path, max_tokens: int) -> Self:
        """Read tokenizer.json. DamagedArtifact where it is none."""
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise DamagedArtifact(f"{path}: is not a tokenizer") from error
        return cls(tokenizer, max_tokens)

    def tokenize(
        self, texts: Sequence[str], name_of: FieldNames = field_of_texts
    ) -> list[TokenizedText]:
        """Tokenise every text; InvalidInput names the field of one with nothing to encode."""
        # The fast form leaves the places of tokens in the text out, which nobody asks for.
        found = self._tokenizer.encode_batch_fast(list(texts))
        return [self._tokenized(text.ids, index, name_of) for index, text in enumerate(found)]

    def _tokenized(self, ids: list[int], index: int, name_of: FieldNames) -> TokenizedText:
        # The closing token alone: the normaliser left nothing of the text.
        if len(ids) < 2:
            raise InvalidInput(name_of(index), "has no words", reason="EMPTY_TEXT")
        if len(ids) <= self._max_tokens:
            return TokenizedText(tuple(ids), len(ids))
        return TokenizedText((*ids[: self._max_tokens - 1], ids[-1]), len(ids))


def check_texts(
    texts: Sequence[str], *, max_bytes: int, name_of: FieldNames = field_of_texts
) -> None:
    """Raise InvalidInput naming the first text that is empty, blank or larger than `max_bytes`."""
    for index, text in enumerate(texts):
        if not text or text.isspace():
            raise InvalidInput(name_of(index), "is empty", reason="EMPTY_TEXT")
        # UTF-8 takes at most 4 bytes a character: most texts need no encoding to be measured.
        if 4 * len(text) > max_bytes and len(text.encode()) > max_bytes:
            raise InvalidInput(
                name_of(index), f"has more than {max_bytes} bytes", reason="TEXT_TOO_LONG"
            )
