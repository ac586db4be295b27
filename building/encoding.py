"""Encodes passages in partitions that a killed build does not have to do again.

A partition's file is named after what went into it (the encoder and the texts), so that nothing of
another corpus or encoder is ever taken for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from releases.durable import sync_file, write_bytes_durably
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact, InvalidInput
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, check_matrix, check_unit_rows

PARTITION_ROWS = 512
"""What a killed build loses at most, for each thread."""

EncodeTexts = Callable[[Sequence[str]], Float32Matrix]
"""Unit vectors [n, 768] float32 of n texts, in their order; called from several threads."""

OnProgress = Callable[[int], object]
"""Called with the number of passages that were just finished."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode: by which encoder, where to keep what is finished, on how many threads."""

    encode: EncodeTexts
    fingerprint: str
    work: Path
    worker_count: int


@dataclass(frozen=True, slots=True)
class Partition:
    """Rows start.. of the corpus, and where their vectors are kept."""

    texts: Sequence[str]
    key: str
    path: Path

    @property
    def sidecar(self) -> Path:
        """The file that says what the vectors' file has to be."""
        return self.path.with_suffix(".json")


def encode_passages(
    texts: Sequence[str], encoding: Encoding, on_progress: OnProgress
) -> Float32Matrix:
    """Vectors [n, 768] float32 of all texts, in order; partitions finished earlier are reused.

    The result is the same for every number of threads. DamagedArtifact if the encoder gives
    anything but finite unit vectors.
    """
    partitions = _partitions(texts, encoding)
    missing = [partition for partition in partitions if not _is_done(partition)]
    on_progress(len(texts) - sum(len(partition.texts) for partition in missing))

    def run(partition: Partition) -> int:
        _encode_partition(partition, encoding.encode)
        return len(partition.texts)

    with ThreadPoolExecutor(encoding.worker_count, thread_name_prefix="encode") as pool:
        try:
            for done in as_completed([pool.submit(run, partition) for partition in missing]):
                on_progress(done.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return np.concatenate([np.load(partition.path) for partition in partitions])


def _partitions(texts: Sequence[str], encoding: Encoding) -> list[Partition]:
    partitions = []
    for number, start in enumerate(range(0, len(texts), PARTITION_ROWS)):
        part = texts[start : start + PARTITION_ROWS]
        key = _partition_key(part, encoding.fingerprint)
        partitions.append(Partition(part, key, encoding.work / f"{number:06d}-{key[:16]}.npy"))
    return partitions


def _partition_key(texts: Sequence[str], fingerprint: str) -> str:
    digest = hashlib.sha256(f"{fingerprint} {PARTITION_ROWS}\n".encode())
    for text in texts:
        content = text.encode()
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def _is_done(partition: Partition) -> bool:
    try:
        stated = json.loads(partition.sidecar.read_bytes())
        return bool(
            stated["key"] == partition.key and stated["sha256"] == sha256_of_file(partition.path)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _encode_partition(partition: Partition, encode: EncodeTexts) -> None:
    vectors = encode(partition.texts)
    _check_vectors(vectors, len(partition.texts))
    temporary = partition.path.with_suffix(".tmp.npy")
    np.save(temporary, vectors)
    sync_file(temporary)
    temporary.replace(partition.path)
    # The sidecar comes last: without it the vectors do not count as finished.
    stated = {"key": partition.key, "sha256": sha256_of_file(partition.path)}
    write_bytes_durably(partition.sidecar, json.dumps(stated).encode())


def _check_vectors(vectors: Float32Matrix, rows: int) -> None:
    try:
        check_matrix(vectors, columns=DIMENSIONS, field="vectors")
        check_unit_rows(vectors, field="vectors")
    except InvalidInput as error:
        raise DamagedArtifact(f"the encoder cannot be used: {error.message}") from error
    if len(vectors) != rows:
        raise DamagedArtifact(f"the encoder gave {len(vectors)} vectors for {rows} texts")
