"""Query sets on disk: a checksummed file of queries with one declared task.

<folder>/queryset.json    format, name, task, corpus digest, count, sha256 and size of the file
<folder>/queries.jsonl    one query a line

Relevant passages and context are named by passage id, so a set belongs to one corpus; its digest
is carried along and compared by whoever holds the corpus.
"""

from __future__ import annotations

import enum
import hashlib
import json
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact

FORMAT = "retrieval-queryset/1"
HEADER_NAME = "queryset.json"
QUERIES_NAME = "queries.jsonl"
MAX_CONTEXT_ITEMS = 5


class Task(enum.Enum):
    """What the queries of a set ask for."""

    QUESTION = "question"
    NEXT_PASSAGE = "next_passage"


class QuerySetError(ValueError):
    """Queries that no evaluation can be made of, or that share an article with training."""


@dataclass(frozen=True, slots=True)
class ContextItem:
    """A passage before the wanted one; it is excluded from the candidates."""

    passage_id: int
    text: str


@dataclass(frozen=True, slots=True)
class EvaluationQuery:
    """One query with its relevant passages, all of `article_id`.

    A question has a text; a next-passage query has 1 to 5 context items, oldest first.
    """

    query_id: str
    article_id: str
    gold_ids: tuple[int, ...]
    text: str = ""
    context: tuple[ContextItem, ...] = ()


@dataclass(frozen=True, slots=True)
class QuerySet:
    """Queries of one task over one corpus, in file order."""

    name: str
    task: Task
    corpus_digest: str
    queries: tuple[EvaluationQuery, ...]

    def __post_init__(self) -> None:
        if not self.queries:
            raise QuerySetError(f"{self.name}: has no queries")
        if len({query.query_id for query in self.queries}) != len(self.queries):
            raise QuerySetError(f"{self.name}: a query id occurs twice")
        for query in self.queries:
            _check_query(query, self.task)


def write_query_set(query_set: QuerySet, folder: Path) -> None:
    """Write both files into a new or empty folder; FileExistsError if it holds anything."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    queries = folder / QUERIES_NAME
    queries.write_text("".join(_to_line(query) + "\n" for query in query_set.queries), "utf-8")
    header = {
        "format": FORMAT,
        "name": query_set.name,
        "task": query_set.task.value,
        "corpus_digest": query_set.corpus_digest,
        "count": len(query_set.queries),
        "files": {
            QUERIES_NAME: {"sha256": sha256_of_file(queries), "bytes": queries.stat().st_size}
        },
    }
    (folder / HEADER_NAME).write_text(json.dumps(header, indent=2) + "\n", "utf-8")


def publish_query_set(query_set: QuerySet, folder: Path) -> None:
    """Write the set under its name in one step; where another process was faster, its set stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        made = Path(temporary) / folder.name
        write_query_set(query_set, made)
        try:
            made.rename(folder)
        except OSError:
            if not (folder / HEADER_NAME).is_file():
                raise


def read_query_set(folder: Path) -> QuerySet:
    """Read a set after its checksum.

    DamagedArtifact for a missing, altered or foreign file; QuerySetError for queries that break
    the rules of their task.
    """
    header = _read_header(folder / HEADER_NAME)
    queries = folder / QUERIES_NAME
    if not queries.is_file() or sha256_of_file(queries) != header["files"][QUERIES_NAME]["sha256"]:
        raise DamagedArtifact(f"{QUERIES_NAME} is missing or not what {HEADER_NAME} says")
    # Not splitlines(): texts may hold other line separators, such as U+2028.
    lines = queries.read_text("utf-8").removesuffix("\n").split("\n")
    try:
        parsed = tuple(_from_line(line) for line in lines)
        task = Task(header["task"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedArtifact(f"{QUERIES_NAME}: not a query set ({error})") from error
    if len(parsed) != header["count"]:
        raise DamagedArtifact(f"{QUERIES_NAME} has {len(parsed)} queries, not {header['count']}")
    return QuerySet(header["name"], task, header["corpus_digest"], parsed)


def text_fingerprint(text: str) -> str:
    """Hex digest of the text's words, blind to case and spacing."""
    words = " ".join(text.casefold().split())
    return hashlib.sha256(words.encode()).hexdigest()


def check_clean(
    query_set: QuerySet,
    gold_texts: Sequence[str],
    trained_articles: Collection[str],
    trained_fingerprints: Collection[str],
) -> None:
    """Refuse an evaluation that training has seen.

    gold_texts are the texts of every query's relevant passages. QuerySetError names how many
    articles or texts are shared.
    """
    shared = {query.article_id for query in query_set.queries} & set(trained_articles)
    if shared:
        example = min(shared)
        raise QuerySetError(f"shares {len(shared)} articles with training, e.g. {example!r}")
    own = [*gold_texts, *(item.text for query in query_set.queries for item in query.context)]
    known = {text_fingerprint(text) for text in own} & set(trained_fingerprints)
    if known:
        raise QuerySetError(f"shares {len(known)} texts with training")


def _check_query(query: EvaluationQuery, task: Task) -> None:
    label = f"query {query.query_id!r}"
    if not query.gold_ids:
        raise QuerySetError(f"{label} has no relevant passage")
    if task is Task.QUESTION and (query.context or not query.text.strip()):
        raise QuerySetError(f"{label}: a question has a text and no context")
    if task is Task.NEXT_PASSAGE and (query.text or not _is_context(query.context)):
        raise QuerySetError(f"{label}: a next-passage query has 1 to 5 context items and no text")
    if {item.passage_id for item in query.context} & set(query.gold_ids):
        raise QuerySetError(f"{label} has a relevant passage in its context")


def _is_context(context: Sequence[ContextItem]) -> bool:
    return 1 <= len(context) <= MAX_CONTEXT_ITEMS


def _read_header(path: Path) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(path.read_text("utf-8"))
        wanted = ("name", "task", "corpus_digest", "count", "files")
        if header["format"] != FORMAT or not all(key in header for key in wanted):
            raise DamagedArtifact(f"{HEADER_NAME} is not of format {FORMAT}")
        header["files"][QUERIES_NAME]["sha256"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DamagedArtifact(f"{HEADER_NAME}: not readable ({error})") from error
    return header


def _to_line(query: EvaluationQuery) -> str:
    fields: dict[str, Any] = {
        "query_id": query.query_id,
        "article_id": query.article_id,
        "gold_ids": list(query.gold_ids),
    }
    if query.text:
        fields["text"] = query.text
    if query.context:
        fields["context"] = [
            {"passage_id": item.passage_id, "text": item.text} for item in query.context
        ]
    return json.dumps(fields, ensure_ascii=False)


def _from_line(line: str) -> EvaluationQuery:
    fields = json.loads(line)
    return EvaluationQuery(
        query_id=str(fields["query_id"]),
        article_id=str(fields["article_id"]),
        gold_ids=tuple(int(gold) for gold in fields["gold_ids"]),
        text=str(fields.get("text", "")),
        context=tuple(
            ContextItem(int(item["passage_id"]), str(item["text"]))
            for item in fields.get("context", [])
        ),
    )
