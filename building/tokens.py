"""Counts tokens as the encoder will: by its own tokenizer, each word once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from retrieval_core.errors import DamagedArtifact

REMEMBERED_CHARACTERS = 32
"""Counts of texts up to this length are remembered."""

_REMEMBERED_WORDS = 1_000_000


class TokenCounter(Protocol):
    """What the cutter needs of a tokenizer; special tokens are never counted."""

    @property
    def is_additive(self) -> bool:
        """Whether a text has exactly as many tokens as its words, split at white space, have."""
        ...

    @property
    def special_count(self) -> int:
        """Special tokens that the encoder adds to each text."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text."""
        ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Character spans [start, end) of the tokens, in order; neighbours may overlap."""
        ...


class FastTokenCounter:
    """A TokenCounter over a fast tokenizer; it never pads and never truncates."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._word_counts: dict[str, int] = {}
        self.is_additive = _splits_on_white_space(tokenizer)
        self.special_count: int = tokenizer.num_special_tokens_to_add(False)

    @classmethod
    def load(cls, path: Path) -> FastTokenCounter:
        """Read `tokenizer.json`. DamagedArtifact where it is none."""
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises nothing narrower
            raise DamagedArtifact(f"{path}: is not a tokenizer ({error})") from error

    def count(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text; short texts are looked up after their first time."""
        if len(self._word_counts) > _REMEMBERED_WORDS:
            self._word_counts = {}
        known = self._word_counts
        fresh = list(dict.fromkeys(text for text in texts if text not in known))
        found = dict(zip(fresh, self._count_fresh(fresh), strict=True))
        known.update(
            (text, count) for text, count in found.items() if len(text) <= REMEMBERED_CHARACTERS
        )
        return [known[text] if text in known else found[text] for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the tokens in `text`."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)

    def _count_fresh(self, texts: list[str]) -> list[int]:
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [len(encoding.ids) for encoding in encoded]


def _splits_on_white_space(tokenizer: Tokenizer) -> bool:
    step = json.loads(tokenizer.to_str()).get("pre_tokenizer") or {}
    if step.get("type") == "Sequence":
        step = (step.get("pretokenizers") or [{}])[0]
    return step.get("type") in ("WhitespaceSplit", "Whitespace", "BertPreTokenizer")
