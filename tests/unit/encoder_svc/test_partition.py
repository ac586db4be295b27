"""Files of texts in, files of vectors out: named errors, no half files, the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from encoder_svc.encoder import Encoder
from encoder_svc.partition import (
    PartitionOutcome,
    PartitionTask,
    encode_partition,
    partition_rows,
)
from encoder_svc.partition_runs import CorpusTask, join_partitions
from encoder_svc.text_lines import RowRange, count_lines, read_texts
from encoder_svc.vector_files import replaced_file, write_vectors
from retrieval_core.errors import FailedPrecondition, InvalidInput, Overloaded
from tests.support.tiny_encoder import WORDS, write_tiny_folder

COUNT = 23


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_folder(tmp_path_factory.mktemp("m") / "model")


@pytest.fixture
def corpus(tmp_path: Path, model: Path) -> CorpusTask:
    path = tmp_path / "texts.jsonl"
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(WORDS, 1 + row % 9)) for row in range(COUNT)]
    path.write_text("".join(json.dumps({"text": text, "row": 1}) + "\n" for text in texts))
    return CorpusTask(model, path, tmp_path / "parts", 4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "b"', "line 2: is not JSON"),
        (b"", "line 2: is not JSON"),
        (b'["b"]', "line 2: is not a JSON object"),
        (b'{"txt": "b"}', "line 2: text is missing"),
        (b'{"text": 3}', "line 2: text is not a string"),
        (b'{"text": " "}', "line 2: text: is empty"),
        (b'{"text": "\xff"}', "line 2: is not UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + line + b'\n{"text": "c"}\n')
    with pytest.raises(InvalidInput, match=message):
        read_texts(path)
    assert read_texts(path, RowRange(2, 1)) == ["c"]
    assert count_lines(path) == 3


def test_a_file_without_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("")
    with pytest.raises(InvalidInput, match="no lines"):
        count_lines(tmp_path / "t.jsonl")


@pytest.mark.parametrize("count", [1, 2, 7, COUNT, 40])
def test_partitions_cover_all_rows_once_and_evenly(count: int) -> None:
    parts = [partition_rows(COUNT, index, count) for index in range(count)]
    rows = [row for part in parts for row in range(part.first, part.first + part.count)]
    assert rows == list(range(COUNT))
    assert max(part.count for part in parts) - min(part.count for part in parts) <= 1


def test_partitions_joined_are_the_whole(corpus: CorpusTask, tmp_path: Path) -> None:
    for part in corpus.partitions():
        encode_partition(part)
    assert join_partitions(corpus, tmp_path / "all.npy") == COUNT
    joined = np.load(tmp_path / "all.npy")
    whole = Encoder.load(corpus.model).encode(read_texts(corpus.input)).vectors
    assert joined.shape == (COUNT, 768)
    assert joined.dtype == np.float32
    assert (joined * whole).sum(axis=1).min() >= 0.99999


def test_what_is_done_and_verifies_is_skipped(corpus: CorpusTask) -> None:
    part = corpus.partitions()[1]
    assert encode_partition(part) == PartitionOutcome(1, 6, skipped=False)
    written = part.vectors_path.stat().st_mtime_ns
    assert encode_partition(part) == PartitionOutcome(1, 6, skipped=True)
    assert part.vectors_path.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["vectors", "sidecar", "no sidecar", "input"])
def test_what_does_not_verify_is_done_again_to_the_same_bytes(
    corpus: CorpusTask, damage: str
) -> None:
    part = corpus.partitions()[2]
    encode_partition(part)
    vectors, sidecar = part.vectors_path.read_bytes(), part.sidecar_path.read_bytes()
    if damage == "vectors":
        part.vectors_path.write_bytes(vectors[:-1] + bytes([vectors[-1] ^ 1]))
    elif damage == "sidecar":
        part.sidecar_path.write_text("{")
    elif damage == "no sidecar":
        part.sidecar_path.unlink()
    else:
        part.input.write_text(part.input.read_text() + '{"text": "house"}\n')
    assert not encode_partition(part).skipped
    if damage != "input":
        assert part.vectors_path.read_bytes() == vectors
        assert part.sidecar_path.read_bytes() == sidecar


def test_joining_names_the_partition_that_is_missing(corpus: CorpusTask, tmp_path: Path) -> None:
    encode_partition(corpus.partitions()[0])
    with pytest.raises(FailedPrecondition, match="partition 1 of 4"):
        join_partitions(corpus, tmp_path / "all.npy")
    assert not (tmp_path / "all.npy").exists()


def test_a_partition_out_of_range_is_refused(corpus: CorpusTask) -> None:
    with pytest.raises(InvalidInput, match="4/4"):
        PartitionTask(corpus.model, corpus.input, corpus.folder, 4, 4)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    write_vectors(path, np.ones((2, 768), np.float32))
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), replaced_file(path) as stream:
        stream.write(b"half" * (1 // 0))
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["v.npy"]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    with replaced_file(path) as stream:
        stream.write(b"first")
        with pytest.raises(Overloaded), replaced_file(path):
            pass
    assert path.read_bytes() == b"first"
