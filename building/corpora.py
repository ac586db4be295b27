"""The corpora that can be named: a folder, a file, or the documentation of what is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Protocol

from building import documentation
from building.corpus_files import CorpusFiles, find_files
from building.records import Record
from retrieval_core.checksums import sha256_of_file


class Corpus(Protocol):
    """Records to build from, and what tells one state of them from another."""

    @property
    def name(self) -> str:
        """A readable name, without any path of the machine."""
        ...

    @property
    def ignored_count(self) -> int:
        """Files that were passed over because they are of no kind that can be read."""
        ...

    def describe(self) -> Mapping[str, object]:
        """What decides the contents, as JSON: equal descriptions mean equal records."""
        ...

    def records(self) -> Iterator[Record]:
        """All records in the order of reading. InvalidInput for the first that is unusable."""
        ...


@dataclass(frozen=True, slots=True)
class FileCorpus:
    """The accepted files at or under a path."""

    name: str
    found: CorpusFiles

    @property
    def ignored_count(self) -> int:
        """Files of other kinds in the folder."""
        return self.found.ignored_count

    def describe(self) -> Mapping[str, object]:
        """Names and digests of all files."""
        return {"files": [[file.name, sha256_of_file(file.path)] for file in self.found.files]}

    def records(self) -> Iterator[Record]:
        """The records of all files, file by file."""
        from building.reading import read_records  # Arrow is slow to import

        return read_records(self.found.files)


@dataclass(frozen=True, slots=True)
class DocumentationCorpus:
    """The documentation of the standard library and of some distributions."""

    distributions: Sequence[Distribution]
    name: str = documentation.KEYWORD
    ignored_count: int = 0

    def describe(self) -> Mapping[str, object]:
        """Versions of everything that is read."""
        return documentation.describe_documentation(self.distributions)

    def records(self) -> Iterator[Record]:
        """The standard library, then each distribution."""
        return documentation.read_documentation(self.distributions)


def open_corpus(word: str) -> FileCorpus | DocumentationCorpus:
    """The corpus that an operator names: exactly `docs` for the documentation, else a path.

    A folder of that name is written `./docs`. InvalidInput where there is nothing to read.
    """
    if word == documentation.KEYWORD:
        return DocumentationCorpus(documentation.serving_distributions())
    path = Path(word)
    return FileCorpus(path.resolve().name, find_files(path))
