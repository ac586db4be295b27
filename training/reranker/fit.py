"""Fits the network of one kind of query: Adam on the listwise loss, stopped by validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rerank_svc.features import FEATURE_NAMES
from training.reranker.lists import CandidateLists
from training.reranker.network import (
    Floats,
    Network,
    Standardisation,
    listwise_loss,
    loss_and_gradients,
)

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How to train; `weight_decay` is the share of the weights that a first step takes off."""

    units: int = 64
    epochs: int = 15
    patience: int = 6
    lists_per_step: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 4e-4
    seed: int = 5


@dataclass(frozen=True, slots=True)
class Ranker:
    """A trained network with its standardisation."""

    standardisation: Standardisation
    network: Network

    def scores(self, features: Floats) -> Floats:
        """features [..., f]; returns [...] float32, higher is better."""
        return self.network.scores(self.standardisation.apply(features))


@dataclass(slots=True)
class _Adam:
    """Adam with decoupled weight decay over the network's arrays."""

    options: FitOptions
    first: list[Floats]
    second: list[Floats]
    step_count: int = 0

    def step(self, network: Network, gradients: tuple[Floats, ...], rate: float) -> Network:
        self.step_count += 1
        updated = []
        for index, (weights, gradient) in enumerate(
            zip(network.parameters(), gradients, strict=True)
        ):
            self.first[index] += 0.1 * (gradient - self.first[index])
            self.second[index] += 0.001 * (gradient * gradient - self.second[index])
            mean = self.first[index] / (1 - 0.9**self.step_count)
            size = np.sqrt(self.second[index] / (1 - 0.999**self.step_count)) + 1e-8
            decayed = weights * np.float32(
                1 - self.options.weight_decay * rate / self.options.learning_rate
            )
            updated.append((decayed - rate * mean / size).astype(np.float32))
        return Network(*updated)


def fit_ranker(
    training: CandidateLists,
    validation: CandidateLists,
    options: FitOptions,
    report: Report,
) -> Ranker:
    """Train on lists that hold the right passage; the epoch of least validation loss is kept.

    The start is the order of the search, so a network that learns nothing loses nothing.
    """
    training, validation = training.found(), validation.found()
    standardisation = Standardisation.of(training.features, training.mask)
    inputs = standardisation.apply(training.features)
    held_out = standardisation.apply(validation.features)
    network = Network.starting_at(
        FEATURE_NAMES.index("score_z"), len(FEATURE_NAMES), options.units, options.seed
    )
    best, best_loss, best_epoch = network, _loss(network, held_out, validation), -1
    report(f"start: validation loss {best_loss:.4f}")
    zeros = [np.zeros_like(array) for array in network.parameters()]
    adam = _Adam(options, zeros, [array.copy() for array in zeros])
    generator = np.random.default_rng(options.seed)
    for epoch in range(options.epochs):
        rate = options.learning_rate * 0.5 * (1 + np.cos(np.pi * epoch / options.epochs))
        for numbers in _shuffled_steps(len(training), options, generator):
            _, gradients = loss_and_gradients(
                network, inputs[numbers], training.mask[numbers], training.golds[numbers]
            )
            network = adam.step(network, gradients, rate)
        loss = _loss(network, held_out, validation)
        report(f"epoch {epoch + 1}: validation loss {loss:.4f}")
        if loss < best_loss:
            best, best_loss, best_epoch = network, loss, epoch
        elif epoch - best_epoch >= options.patience:
            break
    return Ranker(standardisation, best)


def _shuffled_steps(
    count: int, options: FitOptions, generator: np.random.Generator
) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    order = generator.permutation(count)
    return [
        order[start : start + options.lists_per_step]
        for start in range(0, count, options.lists_per_step)
    ]


def _loss(network: Network, inputs: Floats, lists: CandidateLists) -> float:
    return listwise_loss(network.scores(inputs), lists.mask, lists.golds)[0]
