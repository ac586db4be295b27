"""The written graphs compute T5: held against a plain forward pass in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from exporter.calibration import largest_activations
from exporter.fidelity import row_cosines
from exporter.linears import quantize_columns
from exporter.migration import channel_divisors, migrate
from exporter.session import GraphRunner
from exporter.t5_graph import Precision, write_encoder
from exporter.weights import EncoderWeights, LayerWeights, relative_buckets
from tests.support.tiny_encoder import random_weights, tiny_shape

Float64 = npt.NDArray[np.float64]
TEXTS = [[5, 1], [7, 8, 9, 10, 11, 1], list(range(3, 39)) * 6 + [1], [39, 1]]


def normed(rows: Float64, weight: npt.NDArray[np.float32]) -> Float64:
    scaled: Float64 = rows / np.sqrt((rows**2).mean(-1, keepdims=True) + 1e-6) * weight
    return scaled


def gelu(values: Float64) -> Float64:
    inner = np.sqrt(2 / np.pi) * (values + 0.044715 * values**3)
    gated: Float64 = 0.5 * values * (1 + np.tanh(inner))
    return gated


def attention_bias(weights: EncoderWeights, length: int) -> Float64:
    """By T5's definition of a bucket, spelt out."""
    bias = np.zeros((weights.shape.heads, length, length))
    for query in range(length):
        for key in range(length):
            away = abs(key - query)
            bucket = away
            if away >= 8:
                grown = np.float32(np.log(np.float32(away / 8))) / np.float32(np.log(16)) * 8
                bucket = min(15, 8 + int(grown))
            bias[:, query, key] = weights.relative_bias[bucket + (16 if key > query else 0)]
    return bias


def attended(rows: Float64, layer: LayerWeights, bias: Float64) -> Float64:
    heads, length = bias.shape[0], len(rows)

    def split(matrix: npt.NDArray[np.float32]) -> Float64:
        return (rows @ matrix.astype(np.float64)).reshape(length, heads, -1).transpose(1, 0, 2)

    logits = split(layer.query) @ split(layer.key).transpose(0, 2, 1) + bias
    share = np.exp(logits - logits.max(-1, keepdims=True))
    mixed = share / share.sum(-1, keepdims=True) @ split(layer.value)
    result: Float64 = mixed.transpose(1, 0, 2).reshape(length, -1) @ layer.output
    return result


def forward(weights: EncoderWeights, ids: list[int]) -> Float64:
    """The unit vector of one text, the slow way."""
    rows = weights.embedding[ids].astype(np.float64)
    bias = attention_bias(weights, len(ids))
    for layer in weights.layers:
        rows = rows + attended(normed(rows, layer.attention_norm), layer, bias)
        entering = normed(rows, layer.feed_forward_norm)
        hidden = entering @ layer.wi[-1]
        hidden = gelu(entering @ layer.wi[0]) * hidden if len(layer.wi) == 2 else hidden.clip(0)
        rows = rows + hidden @ layer.wo
    vector: Float64 = normed(rows, weights.final_norm).mean(0) @ weights.dense
    if weights.dense_bias is not None:
        vector = vector + weights.dense_bias
    if weights.dense_tanh:
        vector = np.tanh(vector)
    unit: Float64 = vector / np.linalg.norm(vector)
    return unit


def runner(weights: EncoderWeights, precision: Precision) -> GraphRunner:
    model = write_encoder(weights, precision)
    onnx.checker.check_model(model, full_check=False)
    return GraphRunner(model.SerializeToString(), threads=1)


@pytest.mark.parametrize("gated", [False, True])
def test_the_float32_graph_computes_t5(gated: bool) -> None:
    weights = random_weights(tiny_shape(gated=gated))
    vectors = runner(weights, "fp32").encode(TEXTS)
    for ids, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(vector, forward(weights, ids), atol=2e-6)


def test_a_dense_layer_with_bias_and_tanh_is_written() -> None:
    plain = random_weights(tiny_shape())
    bias = np.linspace(-1, 1, 768, dtype=np.float32)
    weights = replace(plain, dense_bias=bias, dense_tanh=True)
    vectors = runner(weights, "fp32").encode(TEXTS[:2])
    for ids, vector in zip(TEXTS, vectors, strict=False):
        np.testing.assert_allclose(vector, forward(weights, ids), atol=2e-6)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("gated", [False, True])
def test_batch_mates_and_padding_change_nothing(precision: Precision, gated: bool) -> None:
    made = runner(random_weights(tiny_shape(gated=gated)), precision)
    alone = made.encode(TEXTS)
    together = made.run(TEXTS, ["sentence_embedding"])[0]
    assert row_cosines(alone, together).min() >= 0.99999


@pytest.mark.parametrize("gated", [False, True])
def test_int8_stays_close_to_float32(gated: bool) -> None:
    weights = random_weights(tiny_shape(gated=gated))
    expected = runner(weights, "fp32").encode(TEXTS)
    actual = runner(weights, "int8").encode(TEXTS)
    # 20 channels average rounding far less than hundreds do; real models reach 0.999.
    assert row_cosines(expected, actual).min() >= 0.995
    np.testing.assert_allclose(np.linalg.norm(actual, axis=1), 1, atol=1e-5)


def test_a_row_of_zeros_is_encoded_and_harms_no_other() -> None:
    weights = random_weights(tiny_shape())
    embedding = weights.embedding.copy()
    embedding[7] = 0
    silent = replace(weights, embedding=embedding)
    expected = runner(silent, "fp32").encode([[7, 1], [7, 9, 1]])
    actual = runner(silent, "int8").encode([[7, 1], [7, 9, 1]])
    assert row_cosines(expected, actual).min() >= 0.99


def test_a_feed_forward_that_is_nowhere_positive_adds_nothing() -> None:
    weights = random_weights(tiny_shape(layers=1))
    layer = weights.layers[0]
    # wi = 0: relu gives zeros, and the row's scale is zero.
    dead = replace(weights, layers=(replace(layer, wi=(np.zeros_like(layer.wi[0]),)),))
    expected = runner(dead, "fp32").encode(TEXTS)
    actual = runner(dead, "int8").encode(TEXTS)
    assert row_cosines(expected, actual).min() >= 0.995


def test_the_same_weights_give_the_same_graph() -> None:
    weights = random_weights(tiny_shape())
    first, second = (write_encoder(weights, "int8").SerializeToString() for _ in range(2))
    assert first == second


def planted(weights: EncoderWeights, factor: float) -> EncoderWeights:
    """A few hidden channels `factor` times as large, of as much less weight afterwards."""
    layers = []
    for layer in weights.layers:
        grown = layer.wi[-1].copy()
        grown[:, :3] *= factor
        shrunk = layer.wo.copy()
        shrunk[:3] /= factor
        layers.append(replace(layer, wi=(*layer.wi[:-1], grown), wo=shrunk))
    return replace(weights, layers=tuple(layers))


@pytest.mark.parametrize("gated", [False, True])
def test_migration_changes_no_result_and_saves_int8_from_outliers(gated: bool) -> None:
    weights = planted(random_weights(tiny_shape(gated=gated)), 100)
    migrated = migrate(weights, largest_activations(weights, TEXTS))
    expected = runner(weights, "fp32").encode(TEXTS)
    same = runner(migrated, "fp32").encode(TEXTS)
    np.testing.assert_allclose(same, expected, atol=1e-5)
    without = row_cosines(expected, runner(weights, "int8").encode(TEXTS)).min()
    with_it = row_cosines(expected, runner(migrated, "int8").encode(TEXTS)).min()
    assert with_it >= 0.99
    assert 1 - with_it < (1 - without) / 2


def test_channels_never_seen_or_never_used_are_left_alone() -> None:
    largest = np.array([0.0, 4.0, 2.0], np.float32)
    weight = np.array([[1.0, -2.0], [0.5, 1.0], [0.0, 0.0]], np.float32)
    np.testing.assert_array_equal(channel_divisors(largest, weight, 0.5), [1.0, 1.0, 1.0])


def test_columns_are_rounded_to_their_own_scale() -> None:
    weight = np.array([[1.0, 0.0, -100.0], [-0.5, 0.0, 50.0]], np.float32)
    values, scale = quantize_columns(weight)
    np.testing.assert_array_equal(values, [[127, 0, -127], [-64, 0, 64]])
    np.testing.assert_allclose(values * scale, weight, atol=100 / 127 / 2)


def test_buckets_are_symmetric_in_size_and_saturate() -> None:
    buckets = relative_buckets(tiny_shape())
    assert len(buckets) == 257
    assert buckets[128] == 0
    np.testing.assert_array_equal(buckets[129:] - 16, buckets[:128][::-1])
    assert buckets[0] == 15
    assert buckets[-1] == 31


def test_rows_that_are_equal_are_stored_once() -> None:
    weights = random_weights(tiny_shape(), seed=5)
    table = weights.embedding.copy()
    table[20:40:2], table[21:40:2] = table[20], table[21]
    repeating = replace(weights, embedding=table)
    graph = write_encoder(repeating, "int8")
    stored = {each.name: list(each.dims) for each in graph.graph.initializer}
    whole = write_encoder(weights, "int8").graph.initializer
    rows, width = table.shape
    assert stored["embedding"] == [rows - 18, width]
    assert {each.name: list(each.dims) for each in whole}["embedding"] == [rows, width]
    ids = [22, 23, 38, 39, 5, 1]
    found = GraphRunner(graph.SerializeToString(), threads=1).encode([ids, [20, 21, 20, 21, 5, 1]])
    assert np.array_equal(found[0], found[1])
    assert row_cosines(found[:1], np.array([forward(repeating, ids)]))[0] > 0.99
