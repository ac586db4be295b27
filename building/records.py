"""What readers hand on: records of a corpus, and the one error for input that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrieval_core.errors import InvalidInput

Markup = Literal["plain", "markdown", "rst", "docstring"]

DEFAULT_LANE = "default"
INT64_MAX = 2**63 - 1
POSITION_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record stands: a file's name and a place in it, such as `line 7` (or nothing)."""

    file: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.file}, {self.place}" if self.place else self.file

    def error(self, description: str, field: str | None = None) -> InvalidInput:
        """The error that says what is wrong here; `field` is the column or key at fault."""
        where = f"{self}, field `{field}`" if field else str(self)
        return InvalidInput(where, description, reason="BAD_CORPUS")


@dataclass(frozen=True, slots=True)
class Record:
    """One text of an article. With a passage_id it is one passage, otherwise it will be cut.

    `position` orders the records of an article; without it they keep the order of reading.
    `continuation` is put before every passage of the record but the first.
    """

    origin: Origin
    article_id: str
    lane: str
    text: str
    markup: Markup = "plain"
    passage_id: int | None = None
    position: int | None = None
    continuation: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """One row of the release before it has a vector; positions count from 0 in an article."""

    passage_id: int
    article_id: str
    position: int
    lane: str
    text: str
