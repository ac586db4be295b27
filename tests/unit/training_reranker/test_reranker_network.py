"""The network's gradient, its start, and its way through ONNX."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnxruntime as ort
import pytest

from rerank_svc.candidates import QueryKind
from rerank_svc.features import FEATURE_NAMES
from tests.support.rerank_samples import make_ranker
from training.reranker.graph import reranker_graph
from training.reranker.network import (
    CLIP,
    Floats,
    Network,
    Standardisation,
    listwise_loss,
    loss_and_gradients,
)

COUNT = len(FEATURE_NAMES)


def make_network(seed: int) -> Network:
    generator = np.random.default_rng(seed)
    return Network(
        generator.normal(0, 0.5, (5, 4)).astype(np.float32),
        generator.normal(0, 0.5, 4).astype(np.float32),
        generator.normal(0, 0.5, 4).astype(np.float32),
    )


def widened(network: Network) -> Network:
    # Differences of a millionth need more digits than the network is kept with.
    return Network(*(array.astype(np.float64) for array in network.parameters()))  # type: ignore[arg-type]


def test_the_loss_is_the_surprise_at_the_right_one() -> None:
    scores = np.array([[2.0, 1.0, 5.0], [0.0, 0.0, 0.0]], np.float32)
    mask = np.array([[True, True, False], [True, True, True]])
    loss, gradient = listwise_loss(scores, mask, np.array([1, 2]))
    shares = np.exp([2.0, 1.0]) / np.exp([2.0, 1.0]).sum()
    assert loss == pytest.approx((-np.log(shares[1]) + np.log(3)) / 2, rel=1e-5)
    expected = np.array([[shares[0], shares[1] - 1, 0], [1 / 3, 1 / 3, 1 / 3 - 1]]) / 2
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_gradients_are_those_of_finite_differences() -> None:
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(6, 7, 5)).astype(np.float32)
    mask = generator.random((6, 7)) < 0.8
    mask[:, 0] = True
    golds = np.zeros(6, np.int64)
    network = widened(make_network(2))
    wide = inputs.astype(np.float64)
    _, gradients = loss_and_gradients(network, wide, mask, golds)  # type: ignore[arg-type]
    step = 1e-6
    for number, name in enumerate(("hidden", "bias", "output")):
        array = getattr(network, name)
        for index in np.ndindex(array.shape):
            losses = []
            for sign in (1, -1):
                moved = array.copy()
                moved[index] += sign * step
                changed = dataclasses.replace(network, **{name: moved})
                losses.append(loss_and_gradients(changed, wide, mask, golds)[0])  # type: ignore[arg-type]
            slope = (losses[0] - losses[1]) / (2 * step)
            assert gradients[number][index] == pytest.approx(slope, abs=2e-6), (name, index)


def test_the_start_orders_by_the_one_feature() -> None:
    network = Network.starting_at(2, COUNT, 16, seed=3)
    inputs = np.zeros((1, 9, COUNT), np.float32)
    inputs[0, :, 2] = np.linspace(3, -3, 9)
    scores = network.scores(inputs)[0]
    assert (np.diff(scores) < 0).all()


def test_constant_features_say_nothing_and_large_ones_are_cut() -> None:
    features = np.zeros((1, 4, 2), np.float32)
    features[0, :, 0] = [1, 2, 3, 4]
    features[0, :, 1] = 7.0
    mask = np.array([[True, True, True, False]])
    standardisation = Standardisation.of(features, mask)
    applied = standardisation.apply(features)
    assert applied[0, :3, 0].mean() == pytest.approx(0.0, abs=1e-6)
    assert applied[0, :3, 0].std() == pytest.approx(1.0, rel=1e-5)
    assert not applied[..., 1].any()
    assert standardisation.apply(features * 1e6).max() == CLIP


@pytest.mark.parametrize("kind", list(QueryKind))
def test_the_graph_computes_what_numpy_computes(kind: QueryKind) -> None:
    rankers = {QueryKind.QUESTION: make_ranker(4), QueryKind.CONTEXT: make_ranker(5)}
    session = ort.InferenceSession(
        reranker_graph(rankers).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    features: Floats = np.random.default_rng(6).normal(0, 20, (33, COUNT)).astype(np.float32)
    (scores,) = session.run(
        ["scores"], {"features": features, "query_kind": np.array([kind.value], np.int64)}
    )
    np.testing.assert_allclose(scores, rankers[kind].scores(features), rtol=1e-4, atol=1e-4)


def test_the_same_weights_give_the_same_bytes() -> None:
    rankers = {QueryKind.QUESTION: make_ranker(4), QueryKind.CONTEXT: make_ranker(5)}
    first, second = (
        reranker_graph(rankers).SerializeToString(deterministic=True) for _ in range(2)
    )
    assert first == second
