"""Real queries for the load: texts, vectors and contexts made of a release's own passages."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pyarrow as pa
from retrieval.v1 import encoder_pb2, encoder_pb2_grpc

from benchmarks.load.schedule import cycled
from retrieval_client import Query
from servicekit.channels import ChannelOptions, open_channel
from servicekit.matrices import matrix_from_message

if TYPE_CHECKING:
    from retrieval_core.vectors import Float32Matrix

KINDS = ("text", "vector", "context")
MAX_WORDS = 14
CONTEXT_LENGTH = 3
NAME_EVERY = 4
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")
_ENCODE_BATCH = 16
_ENCODE_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class LoadQuery:
    """A query and the kind it is counted under."""

    kind: str
    query: Query


@dataclass(frozen=True, slots=True)
class PassageTexts:
    """Passages in corpus order, as parallel lists."""

    passage_ids: list[int]
    article_ids: list[str]
    texts: list[str]


def read_passages(release: Path) -> PassageTexts:
    """The passages of a release's passages.arrow."""
    with pa.memory_map(str(release / "passages.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
        return PassageTexts(
            table["passage_id"].to_pylist(),
            table["article_id"].to_pylist(),
            table["text"].to_pylist(),
        )


def question_of(text: str) -> str:
    """What somebody who looks for this passage might type: its first sentence, cut short.

    A heading before a blank line, such as a signature, is passed over.
    """
    heading, _, body = text.partition("\n\n")
    prose = body if body.strip() and not heading.rstrip().endswith((".", "!", "?")) else text
    sentence = next((part for part in _SENTENCE_END.split(prose) if len(part.split()) >= 3), prose)
    return " ".join(sentence.split()[:MAX_WORDS])


def name_of(text: str) -> str:
    """The name that a passage's first line begins with, such as `csv.DictReader`."""
    return re.split(r"[\s(]", text.strip(), maxsplit=1)[0]


def questions(passages: PassageTexts, count: int, seed: int) -> list[str]:
    """Up to `count` different questions, of passages drawn evenly; every fourth is a name."""
    order = list(range(len(passages.texts)))
    random.Random(seed).shuffle(order)  # noqa: S311
    found: dict[str, None] = {}
    for turn, row in enumerate(order):
        ask = name_of if turn % NAME_EVERY == 0 else question_of
        if question := ask(passages.texts[row]):
            found.setdefault(question)
        if len(found) == count:
            break
    return list(found)


def contexts(passages: PassageTexts, count: int, seed: int) -> list[Query]:
    """Up to `count` contexts of three consecutive passages, which are not to be returned."""
    starts = [
        row
        for row in range(len(passages.texts) - CONTEXT_LENGTH)
        if passages.article_ids[row] == passages.article_ids[row + CONTEXT_LENGTH]
    ]
    random.Random(seed).shuffle(starts)  # noqa: S311
    return [_context_at(passages, row) for row in starts[:count]]


def _context_at(passages: PassageTexts, row: int) -> Query:
    rows = slice(row, row + CONTEXT_LENGTH)
    return Query(context=passages.texts[rows], excluded_passage_ids=passages.passage_ids[rows])


def vectors_of(texts: Sequence[str], encoder_address: str) -> Float32Matrix:
    """Vectors of the texts [n, d] float32, asked of the encoder that serves."""
    import numpy as np

    parts = []
    with open_channel([encoder_address], ChannelOptions()) as channel:
        grpc.channel_ready_future(channel).result(timeout=_ENCODE_TIMEOUT_S)
        stub = encoder_pb2_grpc.EncoderServiceStub(channel)
        for start in range(0, len(texts), _ENCODE_BATCH):
            request = encoder_pb2.EncodeRequest(texts=texts[start : start + _ENCODE_BATCH])
            answer = stub.Encode(request, timeout=_ENCODE_TIMEOUT_S)
            parts.append(matrix_from_message(answer.vectors, columns=None, field="vectors"))
    return np.concatenate(parts)


def mixed(pools: Mapping[str, Sequence[Query]], weights: Mapping[str, int]) -> list[LoadQuery]:
    """One cycle in which every kind stands as often as its weight says, spread evenly.

    The list holds every query of the largest pool once, and varies those of smaller pools from
    the second time on. ValueError without any weight or
    for a kind without queries.
    """
    wanted = {kind: weight for kind, weight in weights.items() if weight > 0}
    if not wanted:
        raise ValueError("every kind of query has weight 0")
    empty = [kind for kind in wanted if not pools.get(kind)]
    if empty:
        raise ValueError(f"no queries of kind {', '.join(empty)} can be made of this corpus")
    rounds = max(-(-len(pools[kind]) // weight) for kind, weight in wanted.items())
    turns = _interleaved(wanted)
    sources = {kind: iter(cycled(pools[kind], rounds * weight)) for kind, weight in wanted.items()}
    return [
        varied(LoadQuery(kind, query), number)
        for _ in range(rounds)
        for kind in turns
        for number, query in [next(sources[kind])]
    ]


def _interleaved(weights: Mapping[str, int]) -> list[str]:
    # Each of a kind's turns is due at an even place of the round.
    places = [
        ((turn + 0.5) / weight, kind) for kind, weight in weights.items() for turn in range(weight)
    ]
    return [kind for _, kind in sorted(places)]


def varied(load_query: LoadQuery, number: int) -> LoadQuery:
    """The same query with a number after its texts, so that no cache has seen it; 0 adds none.

    A vector query stays as it is, since nothing on its way is kept.
    """
    query = load_query.query
    if number == 0 or query.vector is not None:
        return load_query
    if query.text is not None:
        return replace(load_query, query=replace(query, text=f"{query.text} {number}"))
    items = [f"{item} {number}" if isinstance(item, str) else item for item in query.context or ()]
    return replace(load_query, query=replace(query, context=items))


def parse_mix(text: str) -> dict[str, int]:
    """`text=8,context=1,vector=1` as weights by kind. ValueError says what is wrong."""
    weights = {}
    for part in text.split(","):
        kind, _, weight = part.strip().partition("=")
        if kind not in KINDS or not (weight or "1").isdigit():
            raise ValueError(f"{part.strip()!r} is not KIND=WEIGHT with a kind of {KINDS}")
        weights[kind] = int(weight or "1")
    return weights
