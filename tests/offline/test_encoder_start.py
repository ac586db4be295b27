"""The regression solves its equations, the widened model damps as the bag does, whitening evens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.encoder.encoding import TextEncoder, TextRows
from training.encoder.examples import ParagraphExamples
from training.encoder.model import EncoderShape, SentenceEncoder
from training.encoder.regression import RegressionSettings, fit_pieces, token_matrix
from training.encoder.repeats import Damping
from training.encoder.start import shared_rows
from training.encoder.tokens import END_ID, TokenRows
from training.encoder.whitening import inverse_power, whiten
from training.encoder.widening import bag_shape, widen

CPU = torch.device("cpu")
VOCABULARY = 60
SHAPE = EncoderShape(d_model=96, d_kv=32, d_ff=40, num_heads=2, num_layers=1, vocab_size=VOCABULARY)


def random_texts(count: int, seed: int) -> TokenRows:
    rng = np.random.default_rng(seed)
    rows = [
        [*rng.integers(2, VOCABULARY, rng.integers(3, 40)).tolist(), END_ID] for _ in range(count)
    ]
    ids = np.array([token for row in rows for token in row], dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return TokenRows(ids, starts)


def random_bag(seed: int) -> SentenceEncoder:
    torch.manual_seed(seed)
    return SentenceEncoder(bag_shape(SHAPE))


def encoded(encoder: TextEncoder, texts: TokenRows) -> torch.Tensor:
    with torch.inference_mode():
        return encoder.encode([TextRows(texts, np.arange(len(texts)), 512)])[0]


def dense_matrix(tokens: TokenRows, weights: np.ndarray, damping: Damping) -> torch.Tensor:
    matrix = torch.zeros(len(tokens), len(weights))
    for row in range(len(tokens)):
        ids, counts = np.unique(
            tokens.ids[tokens.starts[row] : tokens.starts[row + 1]], return_counts=True
        )
        for token, count in zip(ids, counts, strict=True):
            matrix[row, token] = float(
                count * damping.weights(np.array([count]))[0] * weights[token]
            )
    return functional.normalize(matrix, dim=1)


def test_the_regression_is_the_exact_solution() -> None:
    texts, damping = random_texts(300, 1), Damping()
    weights = np.linspace(0.2, 1.0, VOCABULARY).astype(np.float32)
    targets = torch.randn(300, 7, generator=torch.Generator().manual_seed(2))
    matrix = dense_matrix(texts, weights, damping)
    start = torch.randn(VOCABULARY, 7, generator=torch.Generator().manual_seed(3))
    settings = RegressionSettings(penalties=(2.0, 0.5), steps=60)
    pieces = fit_pieces(
        [(token_matrix(texts, weights, damping, 1.5), targets * 1.5)], start, settings
    )
    first = matrix @ start
    start = start * ((first * targets).sum() / (first * first).sum())
    left = 2.25 * matrix.T @ matrix + 0.5 * torch.eye(VOCABULARY)
    right = 2.25 * matrix.T @ targets + 0.5 * start
    torch.testing.assert_close(pieces, torch.linalg.solve(left, right), atol=1e-3, rtol=1e-3)


def test_a_matrix_and_its_transpose_agree() -> None:
    texts = random_texts(20, 4)
    weights = np.ones(VOCABULARY, dtype=np.float32)
    matrix = token_matrix(texts, weights, Damping(), 1.0)
    by_rows = matrix.times(torch.eye(VOCABULARY))
    torch.testing.assert_close(matrix.transposed().times(torch.eye(20)), by_rows.T)
    torch.testing.assert_close(by_rows.norm(dim=1), torch.ones(20))


def test_the_widened_model_damps_repeats_as_the_weights_do() -> None:
    bag, texts, damping = random_bag(5), random_texts(40, 6), Damping()
    model = widen(bag, SHAPE, damping, torch.Generator().manual_seed(7))
    expected = torch.cat([bag_vector(bag, texts, row, damping) for row in range(len(texts))])
    plain = torch.cat([alone(bag, texts, row) for row in range(len(texts))])
    given = torch.cat([alone(model, texts, row) for row in range(len(texts))])
    assert (given * expected).sum(1).min() > 0.99
    assert (given * expected).sum(1).mean() > (plain * expected).sum(1).mean() + 0.005


def bag_vector(bag: SentenceEncoder, texts: TokenRows, row: int, damping: Damping) -> torch.Tensor:
    """The mean of the normed rows of the table, each weighed by how often its token stands."""
    ids = texts.ids[texts.starts[row] : texts.starts[row + 1]]
    counts = np.array([(ids == token).sum() for token in ids])
    weights = torch.from_numpy(damping.weights(counts))
    with torch.inference_mode():
        tokens = bag.encoder.final_layer_norm(bag.shared(torch.from_numpy(ids).long()))
        return bag.project((tokens * weights[:, None]).mean(0, keepdim=True))


def alone(model: SentenceEncoder, texts: TokenRows, row: int) -> torch.Tensor:
    """In float32: the training's 16 bits round scores to a sixteenth."""
    ids, mask = texts.padded(np.array([row]), 512)
    with torch.inference_mode():
        return model(torch.from_numpy(ids), torch.from_numpy(mask))


def test_inverse_power_evens_out_a_covariance() -> None:
    vectors = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    vectors = vectors * torch.tensor([8.0, 4.0, 2.0, 1.0])
    covariance = vectors.T @ vectors / 4000
    whole = vectors @ inverse_power(covariance, 1.0)
    torch.testing.assert_close(whole.T @ whole / 4000, torch.eye(4), atol=5e-2, rtol=0)
    torch.testing.assert_close(inverse_power(covariance, 0.0), torch.eye(4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_whitening_spreads_the_vectors_and_none_changes_nothing(power: float) -> None:
    texts = random_texts(400, 11)
    examples = ParagraphExamples(texts, texts, np.arange(400), np.full(400, -1))
    model = SentenceEncoder(replace(SHAPE, num_layers=0, d_model=64))
    encoder = TextEncoder(model, CPU)
    before, length = encoded(encoder, texts), model.dense.weight.norm().item()
    whiten(model, examples, power)
    after = encoded(encoder, texts)
    assert model.dense.weight.norm().item() == pytest.approx(length, rel=1e-4)
    if power:
        assert (after @ after.T).mean() < 0.9 * (before @ before.T).mean()
    else:
        torch.testing.assert_close(after, before, atol=2e-3, rtol=0)


def test_pieces_that_were_never_seen_share_few_rows_and_stay_equal_when_widened() -> None:
    counts = np.ones(VOCABULARY, dtype=np.int64)
    counts[40:] = 0
    rows = shared_rows(counts, 4)
    assert rows[:44].tolist() == list(range(44))
    assert rows[44:].tolist() == [40, 41, 42, 43] * 4
    bag = random_bag(3)
    with torch.no_grad():
        bag.shared.weight.copy_(bag.shared.weight[torch.from_numpy(rows)])
    table = widen(bag, SHAPE, Damping(), torch.Generator().manual_seed(1)).shared.weight
    assert torch.equal(table, table[torch.from_numpy(rows)])
    assert len(torch.unique(table, dim=0)) == 44
