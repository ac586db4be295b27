"""What a request may ask for."""

from __future__ import annotations

import pytest

from gateway.query import QueryLimits, check_lanes, check_limit, check_text
from retrieval_core.errors import InvalidInput

LIMITS = QueryLimits(max_limit=100, max_text_characters=20, max_lanes=3)


def refusal(function: object, *arguments: object) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        function(*arguments)  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize("text", ["a", "two words", "tab\tline\n", "naïve 文 🙂", "x" * 20])
def test_a_text_that_says_something_passes_unchanged(text: str) -> None:
    assert check_text(text, "text", LIMITS) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "EMPTY_TEXT"),
        (" \t\n", "EMPTY_TEXT"),
        ("\u00a0\u2003", "EMPTY_TEXT"),
        ("x" * 21, "TEXT_TOO_LONG"),
        (" " * 21, "TEXT_TOO_LONG"),
        ("nul\x00", "CONTROL_CHARACTER"),
        ("bell\x07", "CONTROL_CHARACTER"),
        ("delete\x7f", "CONTROL_CHARACTER"),
    ],
)
def test_a_text_that_says_nothing_is_refused_by_name(text: str, reason: str) -> None:
    error = refusal(check_text, text, "context.items[1].text", LIMITS)
    assert error.reason == reason
    assert error.violations[0].field == "context.items[1].text"


def test_no_limit_means_ten_and_the_largest_still_passes() -> None:
    assert check_limit(0, LIMITS) == 10
    assert check_limit(1, LIMITS) == 1
    assert check_limit(100, LIMITS) == 100


@pytest.mark.parametrize("limit", [101, 10**9])
def test_a_limit_above_the_maximum_is_refused(limit: int) -> None:
    error = refusal(check_limit, limit, LIMITS)
    assert error.violations[0].field == "limit"
    assert error.reason == "OUT_OF_RANGE"


def test_repeated_lanes_count_once_in_the_order_given() -> None:
    assert check_lanes(["b", "a", "b"], LIMITS) == ("b", "a")


def test_an_empty_lane_is_named_by_its_index() -> None:
    assert refusal(check_lanes, ["a", ""], LIMITS).violations[0].field == "lanes[1]"


def test_too_many_lanes_are_refused() -> None:
    assert refusal(check_lanes, list("abcd"), LIMITS).violations[0].field == "lanes"
