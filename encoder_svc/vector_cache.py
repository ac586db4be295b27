"""Vectors of recent texts: bounded, least recently used goes first, hits are counted."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Longer texts are rarely asked twice, and the bound is on entries, not on bytes.
_LONGEST_TEXT = 1024


@dataclass(frozen=True, slots=True)
class CachedText:
    """vector [768] float32, its own copy; tokens before the cut."""

    vector: npt.NDArray[np.float32]
    token_count: int
    truncated: bool


class VectorCache:
    """At most `capacity` texts; 0 remembers none. For one event loop, without a lock."""

    def __init__(self, capacity: int) -> None:
        self.hit_count = 0
        self.miss_count = 0
        self._capacity = capacity
        self._entries: OrderedDict[str, CachedText] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def hit_ratio(self) -> float:
        """Hits of all lookups since the start; 0 before the first."""
        looked = self.hit_count + self.miss_count
        return self.hit_count / looked if looked else 0.0

    def find(self, text: str) -> CachedText | None:
        """What is remembered of a text, which then counts as just used."""
        entry = self._entries.get(text)
        if entry is None:
            self.miss_count += 1
            return None
        self.hit_count += 1
        self._entries.move_to_end(text)
        return entry

    def remember(self, text: str, entry: CachedText) -> None:
        """Keep a text's vector, dropping the least recently used beyond the capacity."""
        if not self._capacity or len(text) > _LONGEST_TEXT:
            return
        self._entries[text] = entry
        self._entries.move_to_end(text)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)
