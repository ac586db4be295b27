"""What a caller asks: one frozen value a query, checked before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from retrieval_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vector = npt.NDArray[np.floating[Any]] | Sequence[float]
    """[768] or [1, 768], any float type; the gateway normalises it."""

    ContextItem = str | Vector

DEFAULT_TARGET = "127.0.0.1:50050"
DEFAULT_TIMEOUT_MS = 200.0
DEFAULT_LIMIT = 10
MAX_CONTEXT_ITEMS = 5


class QueryOptions(TypedDict, total=False):
    """Keyword arguments of `search`, all optional; `Query` explains each."""

    vector: Vector | None
    context: Sequence[ContextItem] | None
    limit: int
    lanes: Sequence[str]
    nprobe: int
    exact: bool
    excluded_passage_ids: Sequence[int]
    explain: bool
    skip_rerank: bool
    fingerprint: str
    routing_key: str
    query_model: str


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One query: exactly one of `text`, `vector` and `context`, and how to answer it.

    text: non-empty. vector: [768] or [1, 768] floats, finite, not zero. context: the last 1 to 5
    passages of an article, oldest first, each a text or a vector. limit: hits wanted. lanes: only
    passages of these; empty means all. nprobe: lists each shard scans; 0 means the release's own.
    exact: scan everything. excluded_passage_ids: never return these. explain: say why each hit
    stands where it stands. skip_rerank: keep the order of the search. fingerprint: of the encoder
    that made the vectors; empty means unchecked. routing_key: whose query it is, so that the same
    caller stays on the same arm; empty means the caller's address. query_model: for a context;
    empty means that of the arm.
    """

    text: str | None = None
    vector: Vector | None = None
    context: Sequence[ContextItem] | None = None
    limit: int = DEFAULT_LIMIT
    lanes: Sequence[str] = ()
    nprobe: int = 0
    exact: bool = False
    excluded_passage_ids: Sequence[int] = ()
    explain: bool = False
    skip_rerank: bool = False
    fingerprint: str = ""
    routing_key: str = ""
    query_model: str = ""

    def __post_init__(self) -> None:
        _check_one_kind(self)
        _check_count("limit", self.limit, least=1)
        _check_count("nprobe", self.nprobe, least=0)
        if self.context is not None:
            _check_context(self.context)
        if isinstance(self.lanes, str):
            raise InvalidInput("lanes", "is one text; pass a list of lanes", reason="WRONG_TYPE")


def _check_one_kind(query: Query) -> None:
    given = [name for name in ("text", "vector", "context") if getattr(query, name) is not None]
    if len(given) != 1:
        said = " and ".join(given) if given else "none"
        raise InvalidInput(
            "query", f"needs exactly one of text, vector, context; got {said}", reason="QUERY_KIND"
        )


def _check_count(field: str, value: int, *, least: int) -> None:
    # Beyond uint32 the message cannot even be built; the server's own limits are far below.
    if not least <= value < 1 << 32:
        raise InvalidInput(
            field, f"is {value}, must be {least} to {(1 << 32) - 1}", reason="OUT_OF_RANGE"
        )


def _check_context(context: Sequence[ContextItem]) -> None:
    if isinstance(context, str):
        raise InvalidInput("context", "is one text; pass a list of items", reason="WRONG_TYPE")
    if not 1 <= len(context) <= MAX_CONTEXT_ITEMS:
        raise InvalidInput(
            "context.items",
            f"has {len(context)} items, must be 1 to {MAX_CONTEXT_ITEMS}",
            reason="CONTEXT_LENGTH",
        )


def timeout_seconds(timeout_ms: float) -> float:
    """Seconds of a timeout; InvalidInput unless it is a finite number above zero."""
    if not (math.isfinite(timeout_ms) and timeout_ms > 0):
        raise InvalidInput(
            "timeout_ms", f"is {timeout_ms}, must be finite and above 0", reason="TIMEOUT"
        )
    return timeout_ms / 1000.0
