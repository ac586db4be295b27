"""What the encoder learns from: questions with their paragraphs, names with their documentation."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.encoder.corpus import Paragraph, next_rows, question_owners
from training.encoder.docstrings import DocumentedName, read_packages

# Packages whose documentation is trained on. None may belong to the serving install: the demo's
# corpus is the standard library and the serving packages, and it stays unseen.
DOCUMENTATION_PACKAGES = (
    "joblib",
    "mpmath",
    "networkx",
    "optimum",
    "scipy",
    "sentence_transformers",
    "sklearn",
    "sympy",
    "torch",
    "transformers",
)
NAMES_PER_PACKAGE = 3000
PASSAGE_CHARACTERS = 800
SHORTEST_SUMMARY_WORDS = 3
SENTENCE_WORDS = 5
_SENTENCE_END = re.compile(r"""(?<=[.!?])\s+(?=[A-Z"'(\[0-9])""")


@dataclass(frozen=True)
class ParagraphTexts:
    """Paragraphs of one part; `owners[i]` is the paragraph that answers question i."""

    paragraphs: list[str]
    following: list[int]
    questions: list[str]
    owners: list[int]


@dataclass(frozen=True)
class DocumentationTexts:
    """Row i of every list belongs to the same definition."""

    names: list[str]
    summaries: list[str]
    passages: list[str]
    bodies: list[str]


def paragraph_texts(paragraphs: Sequence[Paragraph]) -> ParagraphTexts:
    """The texts of `paragraphs`, which hold one part of the split in article order."""
    questions, owners = question_owners(paragraphs)
    return ParagraphTexts([p.text for p in paragraphs], next_rows(paragraphs), questions, owners)


def split_sentences(text: str) -> list[str]:
    """The sentences of `text` that have at least five words."""
    return [
        part.strip() for part in _SENTENCE_END.split(text) if len(part.split()) >= SENTENCE_WORDS
    ]


def documentation_texts(names: Iterable[DocumentedName]) -> DocumentationTexts:
    """A fixed sample of `names`: one a summary, at most NAMES_PER_PACKAGE a package."""
    chosen = _sample(names)
    return DocumentationTexts(
        names=[f"{n.module.partition('.')[0]}.{n.name}" for n in chosen],
        summaries=[n.summary[:PASSAGE_CHARACTERS] for n in chosen],
        passages=[n.passage[:PASSAGE_CHARACTERS] for n in chosen],
        bodies=[(n.body or n.passage)[:PASSAGE_CHARACTERS] for n in chosen],
    )


def installed_documentation() -> DocumentationTexts:
    """The sample over those of DOCUMENTATION_PACKAGES that are installed beside this module."""
    return documentation_texts(read_packages(_package_folders(DOCUMENTATION_PACKAGES)))


def cached_documentation(path: Path) -> DocumentationTexts:
    """`installed_documentation`, kept in the JSON file `path`, as parsing takes a while."""
    if path.exists():
        return DocumentationTexts(**json.loads(path.read_text(encoding="utf-8")))
    texts = installed_documentation()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(dataclasses.asdict(texts)), encoding="utf-8")
    partial.replace(path)
    return texts


def _package_folders(packages: Iterable[str]) -> list[Path]:
    folders = []
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            sys.stderr.write(f"documentation: {package} is not installed, left out\n")
            continue
        folders.append(Path(next(iter(spec.submodule_search_locations))))
    return folders


def _sample(names: Iterable[DocumentedName]) -> list[DocumentedName]:
    by_summary: dict[tuple[str, str], DocumentedName] = {}
    for name in names:
        if len(name.summary.split()) >= SHORTEST_SUMMARY_WORDS and not _is_private(name.name):
            by_summary.setdefault((name.module.partition(".")[0], name.summary), name)
    taken: dict[str, int] = {}
    chosen = []
    for name in sorted(by_summary.values(), key=_order):
        package = name.module.partition(".")[0]
        taken[package] = taken.get(package, 0) + 1
        if taken[package] <= NAMES_PER_PACKAGE:
            chosen.append(name)
    return chosen


def _is_private(name: str) -> bool:
    return any(part.startswith("_") for part in name.split("."))


def _order(name: DocumentedName) -> str:
    return hashlib.sha256(f"{name.module}:{name.name}".encode()).hexdigest()
