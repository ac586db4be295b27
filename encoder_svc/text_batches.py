"""Which texts share a session run: bounded by padded tokens, and never far apart in length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar


class HasLength(Protocol):
    """Anything with a number of tokens."""

    @property
    def length(self) -> int:
        """Tokens, at least 1."""
        ...


Text = TypeVar("Text", bound=HasLength)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """`max_tokens` bounds texts times the longest; `max_padding_ratio` that against real tokens.

    A single text always fits, however long.
    """

    max_tokens: int
    max_padding_ratio: float = 1.5

    def admits(self, count: int, longest: int, real_tokens: int) -> bool:
        """Whether `count` texts may share a run."""
        padded = count * longest
        return padded <= self.max_tokens and padded <= self.max_padding_ratio * real_tokens


def next_batch(waiting: Iterable[Text], limits: BatchLimits) -> list[Text]:
    """The oldest text and, in order of arrival, every other that still fits beside it.

    The oldest is always chosen, so that no length is passed over for ever.
    """
    batch: list[Text] = []
    longest = real_tokens = 0
    for text in waiting:
        grown = max(longest, text.length)
        real = real_tokens + text.length
        if batch and not limits.admits(len(batch) + 1, grown, real):
            continue
        batch.append(text)
        longest, real_tokens = grown, real
        if len(batch) * longest >= limits.max_tokens:
            break
    return batch


def batches_by_length(lengths: Sequence[int], limits: BatchLimits) -> Iterator[list[int]]:
    """Indexes of all texts, shortest first, cut into batches; for work that is all there at once.

    The same lengths always give the same batches.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    batch: list[int] = []
    real_tokens = 0
    for index in order:
        real = real_tokens + lengths[index]
        if batch and not limits.admits(len(batch) + 1, lengths[index], real):
            yield batch
            batch, real = [], lengths[index]
        batch.append(index)
        real_tokens = real
    if batch:
        yield batch
