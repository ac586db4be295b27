"""What a caller asks for, checked: text, vector or context, and how to search for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import Float32Matrix

# Control characters that no text has; tabs, line ends and form feeds pass.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Bounds of what one request may ask for; counts and characters."""

    default_limit: int = 10
    max_limit: int = 1000
    max_nprobe: int = 4096
    max_lanes: int = 64
    max_excluded: int = 1000
    max_text_characters: int = 32_768
    max_context_items: int = 5
    max_name_characters: int = 256


@dataclass(frozen=True, slots=True)
class TextQuery:
    """A question in words."""

    text: str
    kind = "text"


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """A caller's own vector, [1, d] float32, unit norm."""

    vector: Float32Matrix
    kind = "vector"


@dataclass(frozen=True, slots=True)
class ContextQuery:
    """Consecutive passages of one article, oldest first: texts, or vectors [1, d] of unit norm."""

    items: tuple[str | Float32Matrix, ...]
    kind = "context"

    @property
    def has_vectors(self) -> bool:
        """At least one item is a vector."""
        return any(not isinstance(item, str) for item in self.items)


Subject = TextQuery | VectorQuery | ContextQuery


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A checked request. `nprobe` 0 and `query_model` empty mean the arm's; `fingerprint` empty
    means unchecked."""

    subject: Subject
    limit: int = 10
    lanes: tuple[str, ...] = ()
    nprobe: int = 0
    exact: bool = False
    excluded_passage_ids: tuple[int, ...] = ()
    explain: bool = False
    skip_rerank: bool = False
    fingerprint: str = ""
    query_model: str = ""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How an arm answers what a query leaves open: its query model, nprobe, and whether it reranks.

    An empty query model is the encoder's default, an nprobe of 0 the release's.
    """

    query_model: str = ""
    reranks: bool = True
    nprobe: int = 0


UNTUNED = Tuning()


def check_text(text: str, field: str, limits: QueryLimits) -> str:
    """Return the text unless it is blank, too long or has control characters (InvalidInput)."""
    if len(text) > limits.max_text_characters:
        raise InvalidInput(
            field,
            f"has {len(text)} characters, at most {limits.max_text_characters}",
            reason="TEXT_TOO_LONG",
        )
    if not text or text.isspace():
        raise InvalidInput(field, "is empty or white space only", reason="EMPTY_TEXT")
    if found := _CONTROL.search(text):
        raise InvalidInput(
            field,
            f"has the control character U+{ord(found[0]):04X} at {found.start()}",
            reason="CONTROL_CHARACTER",
        )
    return text


def check_name(name: str, field: str, limits: QueryLimits) -> str:
    """Return a name or key, which may be empty; InvalidInput when it is too long."""
    if len(name) > limits.max_name_characters:
        raise InvalidInput(
            field,
            f"has {len(name)} characters, at most {limits.max_name_characters}",
            reason="TEXT_TOO_LONG",
        )
    return name


def check_limit(limit: int, limits: QueryLimits) -> int:
    """Hits to return: 0 means the default; InvalidInput above the maximum."""
    check_at_most(limit, limits.max_limit, "limit")
    return limit or limits.default_limit


def check_at_most(value: int, maximum: int, field: str) -> int:
    """Return the value, or raise InvalidInput naming the field when it is above the maximum."""
    if value > maximum:
        raise InvalidInput(field, f"is {value}, at most {maximum}", reason="OUT_OF_RANGE")
    return value


def check_count(items: Sequence[object], maximum: int, field: str) -> None:
    """Raise InvalidInput naming the field when there are more items than the maximum."""
    if len(items) > maximum:
        raise InvalidInput(field, f"has {len(items)} items, at most {maximum}", reason="TOO_MANY")


def check_lanes(lanes: Sequence[str], limits: QueryLimits) -> tuple[str, ...]:
    """Return the lanes without repetitions, in order; InvalidInput for an empty name."""
    check_count(lanes, limits.max_lanes, "lanes")
    for index, lane in enumerate(lanes):
        if not lane:
            raise InvalidInput(f"lanes[{index}]", "is empty", reason="EMPTY_LANE")
    return tuple(dict.fromkeys(lanes))
