"""A run from texts to a checkpoint, where its table starts, and the teacher's vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from training.encoder.checkpoint import read_checkpoint
from training.encoder.corpus import Paragraph
from training.encoder.encoding import TextEncoder, TextRows
from training.encoder.model import EncoderShape, SentenceEncoder
from training.encoder.run import RunPaths, run_training
from training.encoder.settings import DEFAULT_RUN
from training.encoder.start import (
    SHARED_ROWS,
    PieceVectors,
    main_directions,
    start_from_pieces,
    teacher_isometry,
)
from training.encoder.teacher import cached_vectors, length_batches
from training.encoder.tokens import TokenRows
from training.split import article_part

TOKENIZER = Path(__file__).parents[2] / "encoder_svc/default_model/tokenizer.json"
PLACES = ["harbour", "castle", "market", "bridge", "chapel", "museum", "garden", "station"]
DEEDS = ["was built by masons", "was painted by monks", "burned in a fire", "opened to visitors"]
YEARS = ["in spring", "after the war", "before winter", "during the flood", "under the old king"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def towns(count: int) -> list[Paragraph]:
    """Articles on made-up towns, each paragraph on another of its places, with a question."""
    rng = np.random.default_rng(4)
    found = []
    for number in range(count):
        name = f"Town {number}"
        for position, place in enumerate(PLACES):
            deed, year = rng.choice(DEEDS), rng.choice(YEARS)
            text = f"The {place} of {name} {deed} {year}. People of {name} still visit it often."
            found.append(Paragraph(name, position, text, (f"When was the {place} of {name}?",)))
    return found


def test_a_run_writes_a_checkpoint_that_finds_passages_and_says_how_well(tmp_path: Path) -> None:
    paragraphs = towns(40)
    assert {"train", "validation"} <= {article_part(each.article) for each in paragraphs}
    names = [f"package.function{n}" for n in range(4)]
    words = [f"Return the number {n} of the list." for n in range(4)]
    documentation = {"names": names, "summaries": words, "passages": words, "bodies": words}
    cache = tmp_path / "teacher"
    cache.mkdir()
    (cache / "documentation.json").write_text(json.dumps(documentation), encoding="utf-8")
    more = [Paragraph("book/m1", n, f"The sea is deep. {n}", (), is_extra=True) for n in range(3)]
    paths = RunPaths(TOKENIZER, cache, tmp_path / "run")
    checkpoint = run_training([*paragraphs, *more], DEFAULT_RUN, paths, torch.device("cpu"))
    measured = json.loads((tmp_path / "run/log.json").read_text())["validation"]["whitened"]
    assert measured["questions R@1"] > 0.5
    table = read_checkpoint(checkpoint).shared.weight
    distinct = len(torch.unique(table, dim=0))
    assert SHARED_ROWS < distinct < SHARED_ROWS + 600


def rows_of(texts: list[list[int]]) -> TokenRows:
    lengths = [len(text) for text in texts]
    ids = np.array([token for text in texts for token in text], dtype=np.int32)
    return TokenRows(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def test_texts_of_many_lengths_keep_the_order_of_their_rows() -> None:
    torch.manual_seed(0)
    shape = EncoderShape(d_model=32, d_kv=8, d_ff=48, num_heads=2, num_layers=1, vocab_size=100)
    mixed = rows_of([[5 + n % 7] * (1 + n % 30) for n in range(480)])
    rows = np.random.default_rng(0).permutation(480)[:40]
    encoder = TextEncoder(SentenceEncoder(shape).eval(), torch.device("cpu"))
    with torch.inference_mode():
        (together,) = encoder.encode([TextRows(mixed, rows, 64)])
        singly = torch.cat(encoder.encode([TextRows(mixed, row[None], 64) for row in rows]))
    torch.testing.assert_close(together, singly, atol=2e-2, rtol=0)


def test_start_puts_a_piece_where_its_vector_lies_among_the_main_directions() -> None:
    generator = torch.Generator().manual_seed(0)
    model = SentenceEncoder(EncoderShape(d_model=64, num_layers=0, vocab_size=50))
    isometry = teacher_isometry(generator)
    low = torch.linalg.qr(torch.randn(384, 6, generator=generator))[0]
    vectors = torch.randn(50, 6, generator=generator) @ low.T
    directions = main_directions(vectors, 6)
    weights = torch.linspace(0.1, 1.0, 50)
    pieces = PieceVectors(vectors, directions, weights, torch.arange(50))
    start_from_pieces(model, pieces, isometry, 0.1, generator)
    with torch.inference_mode():
        found = model(torch.arange(50)[:, None], torch.ones(50, 1, dtype=torch.long))
    unit = torch.nn.functional.normalize(vectors @ isometry, dim=1)
    assert (found * unit).sum(1).min() > 0.95
    lengths = model.shared.weight.norm(dim=1)
    assert lengths.max() < 1.5 * lengths.min()
    torch.testing.assert_close(isometry @ isometry.T, torch.eye(384), atol=1e-5, rtol=0)


def test_more_columns_than_directions_for_the_code_are_refused() -> None:
    generator = torch.Generator().manual_seed(0)
    model = SentenceEncoder(EncoderShape(d_model=776, num_layers=0, vocab_size=50))
    directions, rows = torch.eye(384)[:, :6], torch.arange(50)
    pieces = PieceVectors(torch.randn(50, 384), directions, torch.ones(50), rows)
    with pytest.raises(ValueError, match="d_model"):
        start_from_pieces(model, pieces, teacher_isometry(generator), 0.1, generator)


def test_teacher_vectors_are_computed_once_for_the_same_texts(tmp_path: Path) -> None:
    class Counting:
        def __init__(self) -> None:
            self.asked: list[list[str]] = []

        def encode(self, texts: Sequence[str], label: str) -> npt.NDArray[np.float16]:
            self.asked.append(list(texts))
            places = np.arange(1, len(texts) + 1, dtype=np.float16)
            return np.repeat(places[:, None], 384, axis=1)

    source = Counting()
    first = cached_vectors(source, ["a", "b", "a"], tmp_path, "x")
    again = cached_vectors(source, ["b", "a"], tmp_path, "y")
    other = cached_vectors(source, ["c", "b"], tmp_path, "x")
    assert source.asked == [["a", "b"], ["c"]]
    assert first[:, 0].tolist() == [1.0, 2.0, 1.0]
    assert again[:, 0].tolist() == [2.0, 1.0]
    assert other[:, 0].tolist() == [1.0, 2.0]


def test_length_batches_hold_every_row_once_within_the_limit() -> None:
    lengths = [3, 100, 5, 40, 41, 2, 99]
    batches = list(length_batches(lengths, 120))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[row] for row in batch) <= 120 for batch in batches)
