"""What a model was trained on, and whether an evaluation meets any of it again.

<folder>/training.json     format, name, titles of the articles, checksum of the other file
<folder>/fingerprints.npy  [n] uint64, ascending: fingerprints of all texts

A text has one fingerprint for all of its words and one for every fourth or so of its runs of eight
words, chosen by their own value: so a text is known again when it was cut at other places, and the
record holds no text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evaluation.querysets import QuerySet, QuerySetError, check_clean
from releases.json_fields import read_json_object
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact

FORMAT = "retrieval-training-record/1"
HEADER_NAME = "training.json"
FINGERPRINTS_NAME = "fingerprints.npy"
DEFAULT_RECORD_FOLDER = Path("artifacts/eval/training_record")

RUN_WORDS = 8
KEPT_RUNS_ONE_IN = 4
KNOWN_RUNS_RATIO = 0.5
LEAST_RUNS = 3

_WORD = re.compile(r"\w+")

UInt64Array = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRecord:
    """Titles of the articles that were trained on, and ascending fingerprints [n] of the texts."""

    name: str
    articles: frozenset[str]
    fingerprints: UInt64Array

    def knows(self, text: str) -> bool:
        """Whether the text, or half of what can be compared of it, was in training."""
        whole, runs = _fingerprints_of(text)
        if bool(self._are_known([whole])[0]):
            return True
        # A short text offers little to compare: all of it has to be known then.
        needed = KNOWN_RUNS_RATIO if len(runs) >= LEAST_RUNS else 1.0
        return bool(runs) and bool(self._are_known(runs).mean() >= needed)

    def _are_known(self, wanted: Sequence[int]) -> npt.NDArray[np.bool_]:
        if not len(self.fingerprints):
            return np.zeros(len(wanted), np.bool_)
        values = np.array(wanted, np.uint64)
        places = np.minimum(np.searchsorted(self.fingerprints, values), len(self.fingerprints) - 1)
        return np.asarray(self.fingerprints[places] == values)


def make_training_record(
    name: str, articles: Iterable[str], texts: Iterable[str]
) -> TrainingRecord:
    """The record of these articles and of all texts that were learned from."""
    found: set[int] = set()
    for text in texts:
        whole, runs = _fingerprints_of(text)
        found.add(whole)
        found.update(runs)
    return TrainingRecord(name, frozenset(articles), np.array(sorted(found), np.uint64))


def write_training_record(record: TrainingRecord, folder: Path) -> None:
    """Write both files, over those of an older record."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FINGERPRINTS_NAME
    np.save(path, record.fingerprints)
    header = {
        "format": FORMAT,
        "name": record.name,
        "articles": sorted(record.articles),
        "files": {FINGERPRINTS_NAME: {"sha256": sha256_of_file(path)}},
    }
    (folder / HEADER_NAME).write_text(json.dumps(header, ensure_ascii=False) + "\n", "utf-8")


def read_training_record(folder: Path) -> TrainingRecord:
    """Read a record after its checksum. DamagedArtifact for anything else."""
    fields = read_json_object(folder / HEADER_NAME)
    if fields.text("format") != FORMAT:
        raise fields.wrong("format", repr(FORMAT))
    path = folder / FINGERPRINTS_NAME
    stated = fields.child("files").child(FINGERPRINTS_NAME).text("sha256")
    if not path.is_file() or sha256_of_file(path) != stated:
        raise DamagedArtifact(f"{path}: is missing or not what {HEADER_NAME} says")
    loaded = np.load(path, allow_pickle=False)
    if loaded.ndim != 1 or loaded.dtype != np.uint64:
        raise DamagedArtifact(f"{path}: is not a list of fingerprints")
    return TrainingRecord(fields.text("name"), frozenset(fields.texts("articles")), loaded)


def refuse_overlap(query_set: QuerySet, texts: Mapping[int, str], record: TrainingRecord) -> None:
    """QuerySetError when the evaluation shares an article or a text with training.

    `texts` holds the relevant passages of all queries by id.
    """
    check_clean(query_set, (), record.articles, ())
    known = sum(record.knows(text) for text in _texts_of(query_set, texts))
    if known:
        raise QuerySetError(f"{query_set.name}: shares {known} texts with training")


def _texts_of(query_set: QuerySet, texts: Mapping[int, str]) -> Iterator[str]:
    gold_ids = {gold for query in query_set.queries for gold in query.gold_ids}
    yield from (texts[gold] for gold in sorted(gold_ids))
    context = {item.passage_id: item.text for query in query_set.queries for item in query.context}
    yield from (text for passage_id, text in context.items() if passage_id not in gold_ids)


def _fingerprints_of(text: str) -> tuple[int, list[int]]:
    words = _WORD.findall(text.casefold())
    runs = (
        _fingerprint(" ".join(words[start : start + RUN_WORDS]))
        for start in range(len(words) - RUN_WORDS + 1)
    )
    return _fingerprint(" ".join(words)), [run for run in runs if run % KEPT_RUNS_ONE_IN == 0]


def _fingerprint(words: str) -> int:
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "little")
