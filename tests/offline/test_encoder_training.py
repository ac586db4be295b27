"""Training on a made-up language finds paragraphs that no start could, and resumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from training.encoder.batches import article_batches
from training.encoder.encoding import TextEncoder, TextRows
from training.encoder.examples import (
    DocumentationExamples,
    ParagraphExamples,
    SentenceExamples,
    TrainingTexts,
)
from training.encoder.loop import StagePlan, make_optimizer, rate_factor, train_stage
from training.encoder.losses import (
    context_loss,
    contrastive_loss,
    cosine_distance,
    geometry_loss,
    neighbour_loss,
    similarity_distillation,
)
from training.encoder.model import EncoderShape, SentenceEncoder, silence_blocks
from training.encoder.settings import BAG_STAGE, BLOCK_STAGE, StageSettings
from training.encoder.start import (
    PieceVectors,
    main_directions,
    start_from_pieces,
    teacher_isometry,
)
from training.encoder.teacher import cached_vectors, length_batches
from training.encoder.tokens import Rows, TokenRows
from training.encoder.validation import validation_measures

WORDS = 200
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than matrices this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows_of(texts: list[list[int]]) -> TokenRows:
    lengths = [len(text) for text in texts]
    ids = np.array([token for text in texts for token in text], dtype=np.int32)
    return TokenRows(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def made_up(articles: int, seed: int) -> ParagraphExamples:
    """Questions hold synonyms (word + WORDS) of words of their paragraph; articles have topics."""
    rng = np.random.default_rng(seed)
    topics = [rng.integers(3, WORDS, 4) for _ in range(articles)]
    paragraphs = [
        [*rng.integers(3, WORDS, 10).tolist(), *rng.choice(topic, 2).tolist()]
        for topic in topics
        for _ in range(8)
    ]
    questions = [
        [int(word) + WORDS for word in rng.choice(paragraph, 3, replace=False)]
        for paragraph in paragraphs
        for _ in range(2)
    ]
    count = len(paragraphs)
    return ParagraphExamples(
        paragraphs=rows_of(paragraphs),
        questions=rows_of(questions),
        owners=np.repeat(np.arange(count), 2),
        following=np.where(np.arange(count) % 8 == 7, -1, np.arange(count) + 1),
        articles=np.arange(count) // 8,
    )


def made_up_texts() -> TrainingTexts:
    train, validation = made_up(60, 1), made_up(12, 2)
    tokens = rows_of([[3 + n, 4 + n, 5 + n] for n in range(64)])
    documentation = DocumentationExamples(tokens, tokens, tokens, tokens)
    return TrainingTexts(train, validation, documentation, SentenceExamples(tokens))


def small_model() -> SentenceEncoder:
    torch.manual_seed(0)
    shape = EncoderShape(
        d_model=32, d_kv=8, d_ff=48, num_heads=2, num_layers=1, vocab_size=2 * WORDS + 1
    )
    model = SentenceEncoder(shape)
    silence_blocks(model, torch.Generator().manual_seed(0))
    return model


def shortened(stage: StageSettings, steps: int) -> StageSettings:
    return replace(
        stage,
        steps=steps,
        paragraphs_per_batch=64,
        definitions_per_batch=16,
        sentences_per_batch=16,
        candidates=min(stage.candidates, 100),
        warmup_steps=5,
        token_drop=0.0,
        table_rate=0.05,
        rate=0.01,
        dense_rate=0.01,
    )


@pytest.mark.parametrize(("stage", "steps"), [(BAG_STAGE, 170), (BLOCK_STAGE, 70)])
def test_a_stage_learns_and_keeps_its_best_weights(stage: StageSettings, steps: int) -> None:
    model, texts = small_model(), made_up_texts()
    encoder = TextEncoder(model, CPU, blocks=stage.blocks)
    before = validation_measures(encoder, texts)["questions MRR@10"]
    result = train_stage(
        model, texts, torch.eye(32, 768), StagePlan(shortened(stage, steps), 1, 90.0)
    )
    after = validation_measures(encoder, texts)
    assert after["questions MRR@10"] > before + 0.1
    assert after["chosen"] == pytest.approx(
        max(entry["chosen"] for entry in result.history), abs=1e-6
    )


def test_a_rate_of_nothing_leaves_the_weights_alone() -> None:
    model, texts = small_model(), made_up_texts()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    frozen = replace(shortened(BLOCK_STAGE, 2), table_rate=0.0, dense_rate=0.0)
    make_optimizer(model, frozen)
    train_stage(model, texts, torch.eye(32, 768), StagePlan(frozen, 1, 90.0))
    assert torch.equal(model.shared.weight, before["shared.weight"])
    assert torch.equal(model.dense.weight, before["dense.weight"])


def test_a_stage_stops_at_its_time_limit() -> None:
    model, texts = small_model(), made_up_texts()
    result = train_stage(
        model, texts, torch.eye(32, 768), StagePlan(shortened(BAG_STAGE, 100_000), 1, 1.0)
    )
    assert 0 < result.steps < 100_000


def test_batches_of_blocks_keep_the_order_of_their_rows() -> None:
    model, texts = small_model(), made_up_texts()
    rows: Rows = next(article_batches(texts.train.articles, 40, 4, np.random.default_rng(0)))
    mixed = rows_of([[5] * (1 + n % 30) for n in range(480)])
    encoder = TextEncoder(model.eval(), CPU, blocks=True)
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
    pieces = PieceVectors(vectors, directions, weights)
    start_from_pieces(model, pieces, isometry, 0.1, generator)
    with torch.inference_mode():
        found = model.forward_bag(torch.arange(50), torch.arange(50))
    unit = torch.nn.functional.normalize(vectors @ isometry, dim=1)
    assert (found * unit).sum(1).min() > 0.95
    lengths = model.shared.weight.norm(dim=1)
    assert lengths.max() < 1.5 * lengths.min()
    torch.testing.assert_close(isometry @ isometry.T, torch.eye(384), atol=1e-5, rtol=0)


def test_more_columns_than_directions_for_the_code_are_refused() -> None:
    generator = torch.Generator().manual_seed(0)
    model = SentenceEncoder(EncoderShape(d_model=512, num_layers=0, vocab_size=50))
    pieces = PieceVectors(torch.randn(50, 384), torch.eye(384)[:, :6], torch.ones(50))
    with pytest.raises(ValueError, match="d_model"):
        start_from_pieces(model, pieces, teacher_isometry(generator), 0.1, generator)


def test_losses_at_known_points() -> None:
    eye = torch.eye(4)
    right = torch.arange(4)
    assert contrastive_loss(eye, eye, right, 0.01).item() == pytest.approx(0.0, abs=1e-6)
    assert contrastive_loss(eye, eye.roll(1, 0), right, 0.01).item() == pytest.approx(
        100.0, rel=0.1
    )
    assert cosine_distance(eye, -eye).item() == pytest.approx(2.0)
    assert similarity_distillation(eye, eye, eye, eye, 0.1).item() == pytest.approx(0.0, abs=1e-6)
    assert neighbour_loss(eye, eye, torch.full((4,), -1), 0.1).item() == 0.0
    paired = eye[[0, 0, 1, 1]]
    assert neighbour_loss(paired, paired, torch.tensor([1, -1, 3, -1]), 0.01).item() < 1e-6


def test_other_candidates_make_a_neighbour_harder_to_find() -> None:
    paired = torch.eye(4)[[0, 0, 1, 1]]
    following = torch.tensor([1, -1, 3, -1])
    among_more = torch.cat([paired, paired[:1]])
    alone = neighbour_loss(paired, paired, following, 0.1).item()
    assert neighbour_loss(paired, among_more, following, 0.1).item() > alone + 0.3


def test_a_context_never_finds_itself() -> None:
    vectors = torch.eye(3)[[0, 0, 1]]
    weights = torch.tensor([[1.0, 0.0, 0.0]])
    loss = context_loss(vectors, weights, torch.tensor([1]), 0.01)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert context_loss(vectors, weights, torch.tensor([2]), 0.01).item() > 50
    assert context_loss(vectors, torch.zeros(0, 3), torch.tensor([]).long(), 0.01).item() == 0.0


def test_geometry_is_a_matter_of_similarities_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.nn.functional.normalize(torch.randn(6, 5, generator=generator), dim=1)
    turned = vectors @ torch.linalg.qr(torch.randn(5, 5, generator=generator))[0]
    rows, turned_rows = vectors[:4], turned[:4]
    same = geometry_loss(turned_rows, turned, rows, vectors, 0.1)
    assert same.item() == pytest.approx(0.0, abs=1e-5)
    assert geometry_loss(turned_rows.roll(1, 0), turned.roll(1, 0), rows, vectors, 0.1) > 0.1


def test_rate_rises_then_falls_to_nothing() -> None:
    assert rate_factor(0, 10, 0.0) == pytest.approx(0.1)
    assert rate_factor(50, 10, 0.5) == pytest.approx(0.5)
    assert rate_factor(99, 10, 1.0) == 0.0


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
