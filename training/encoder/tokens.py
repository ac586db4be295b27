"""Token ids of many texts in two flat arrays, and rows of them cut and padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

PAD_ID = 0
END_ID = 1

Ids = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenRows:
    """Text i is `ids[starts[i]:starts[i + 1]]`, `</s>` included; n + 1 starts for n texts."""

    ids: Ids
    starts: Rows

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Rows:
        """[n] int64, tokens in each text."""
        return np.diff(self.starts)

    def flat(self, rows: Rows, limit: int) -> tuple[Ids, Rows]:
        """The ids of `rows` end to end, each cut to `limit`, and where each row starts.

        A row that is cut ends with `</s>` all the same.
        """
        whole = self.lengths[rows]
        lengths = np.minimum(whole, limit)
        ends = np.cumsum(lengths)
        offsets: Rows = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        within = np.arange(int(lengths.sum())) - np.repeat(offsets, lengths)
        ids = self.ids[np.repeat(self.starts[rows], lengths) + within]
        ids[ends[whole > limit] - 1] = END_ID
        return ids, offsets

    def padded(self, rows: Rows, limit: int) -> tuple[Rows, Rows]:
        """ids [r, t] int64 padded with 0, mask [r, t] int64 0/1; t = longest row, at most limit."""
        lengths = np.minimum(self.lengths[rows], limit)
        flat, _ = self.flat(rows, limit)
        mask = np.arange(int(lengths.max())) < lengths[:, None]
        ids = np.full(mask.shape, PAD_ID, dtype=np.int64)
        ids[mask] = flat
        return ids, mask.astype(np.int64)


def load_tokenizer(path: Path) -> Tokenizer:
    """The T5 tokenizer without its own padding and truncation; it appends `</s>`."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], limit: int = 512) -> TokenRows:
    """At most `limit` ids a text; a text that is cut keeps `</s>` as its last id."""
    rows = []
    for encoding in tokenizer.encode_batch_fast(list(texts)):
        row = encoding.ids
        rows.append(row if len(row) <= limit else [*row[: limit - 1], END_ID])
    lengths = [len(row) for row in rows]
    flat = np.fromiter((i for row in rows for i in row), dtype=np.int32, count=sum(lengths))
    return TokenRows(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
