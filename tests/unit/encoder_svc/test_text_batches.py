"""What shares a run: within the limits, the oldest always, nothing lost."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from encoder_svc.text_batches import BatchLimits, batches_by_length, next_batch


@dataclass(frozen=True)
class Text:
    length: int


LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=60)
LIMITS = st.builds(
    BatchLimits, max_tokens=st.integers(1, 2048), max_padding_ratio=st.floats(1.0, 3.0)
)


def within(lengths: list[int], limits: BatchLimits) -> bool:
    padded = len(lengths) * max(lengths)
    fits = padded <= limits.max_tokens and padded <= limits.max_padding_ratio * sum(lengths)
    return len(lengths) == 1 or fits


@given(LENGTHS, LIMITS)
def test_the_oldest_is_chosen_and_the_batch_is_within_its_limits(
    lengths: list[int], limits: BatchLimits
) -> None:
    waiting = [Text(length) for length in lengths]
    batch = next_batch(waiting, limits)
    assert batch[0] is waiting[0]
    assert within([text.length for text in batch], limits)


def test_alike_texts_are_taken_past_one_that_is_not() -> None:
    waiting = [Text(10), Text(400), Text(11), Text(9)]
    assert next_batch(waiting, BatchLimits(512)) == [Text(10), Text(11), Text(9)]


def test_the_token_limit_ends_a_batch() -> None:
    waiting = [Text(16)] * 10
    assert len(next_batch(waiting, BatchLimits(64))) == 4


@given(LENGTHS, LIMITS)
def test_all_texts_are_in_exactly_one_batch(lengths: list[int], limits: BatchLimits) -> None:
    batches = list(batches_by_length(lengths, limits))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(within([lengths[index] for index in batch], limits) for batch in batches)
    assert batches == list(batches_by_length(lengths, limits))
