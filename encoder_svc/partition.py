"""One part of a corpus to vectors, so that any number of processes or machines can share the work.

A partition is done when its sidecar is there and agrees with its vectors, the input and the model;
until then it is done again from the start. So it may be killed anywhere, run twice or anywhere,
and always ends in the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from encoder_svc.encoder import Encoder
from encoder_svc.manifest import read_encoder_manifest
from encoder_svc.text_lines import RowRange, count_lines, read_texts
from encoder_svc.vector_files import replaced_file, write_vectors
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import InvalidInput
from retrieval_core.vectors import DIMENSIONS

FORMAT = "retrieval-vectors/1"


@dataclass(frozen=True, slots=True)
class PartitionTask:
    """Rows of `input` that are partition `index` of `count`, encoded by `model` into `folder`."""

    model: Path
    input: Path
    folder: Path
    index: int
    count: int
    threads: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise InvalidInput("partition", f"{self.index}/{self.count}: counted from 0")

    @property
    def vectors_path(self) -> Path:
        """Where the vectors go."""
        return self.folder / f"vectors-{self.index:05d}-of-{self.count:05d}.npy"

    @property
    def sidecar_path(self) -> Path:
        """Where it is said what the vectors are."""
        return self.vectors_path.with_suffix(".json")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the vectors are of; `sha256` is of the vectors' file."""

    format: str
    partition: int
    partitions: int
    first_row: int
    rows: int
    dimensions: int
    fingerprint: str
    precision: str
    input_sha256: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PartitionOutcome:
    """A partition that is done now; `skipped` if it already was."""

    index: int
    rows: int
    skipped: bool


def encode_partition(task: PartitionTask) -> PartitionOutcome:
    """Encode one partition, unless its files are there and verify.

    InvalidInput names a bad line, DamagedArtifact a bad model file.
    """
    rows = partition_rows(count_lines(task.input), task.index, task.count)
    if partition_is_done(task, rows):
        return PartitionOutcome(task.index, rows.count, skipped=True)
    task.folder.mkdir(parents=True, exist_ok=True)
    # An old sidecar must never stand beside new vectors.
    task.sidecar_path.unlink(missing_ok=True)
    encoder = Encoder.load(task.model, threads=task.threads)
    encoded = encoder.encode(read_texts(task.input, rows))
    write_vectors(task.vectors_path, encoded.vectors)
    _write_sidecar(task, rows)
    return PartitionOutcome(task.index, rows.count, skipped=False)


def partition_rows(row_count: int, index: int, count: int) -> RowRange:
    """Rows of partition `index`; the partitions' sizes differ by at most one."""
    first = row_count * index // count
    return RowRange(first, row_count * (index + 1) // count - first)


def partition_is_done(task: PartitionTask, rows: RowRange) -> bool:
    """Whether sidecar, vectors, input and model all agree."""
    try:
        stated = json.loads(task.sidecar_path.read_text(encoding="utf-8"))
        return bool(stated == asdict(_sidecar(task, rows)))
    except (OSError, ValueError):
        return False


def _sidecar(task: PartitionTask, rows: RowRange) -> Sidecar:
    manifest = read_encoder_manifest(task.model)
    return Sidecar(
        format=FORMAT,
        partition=task.index,
        partitions=task.count,
        first_row=rows.first,
        rows=rows.count,
        dimensions=DIMENSIONS,
        fingerprint=manifest.fingerprint,
        precision=manifest.precision,
        input_sha256=sha256_of_file(task.input),
        sha256=sha256_of_file(task.vectors_path),
    )


def _write_sidecar(task: PartitionTask, rows: RowRange) -> None:
    fields: dict[str, Any] = asdict(_sidecar(task, rows))
    with replaced_file(task.sidecar_path) as stream:
        stream.write((json.dumps(fields, indent=2) + "\n").encode())
