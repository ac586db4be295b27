"""Fits one network by contrast: the next passage against every other of its group of articles."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evaluation.measures import PerQuery
from retrieval_core.vectors import Float32Matrix
from training.query_models.batches import Batch, epoch_batches
from training.query_models.material import Material, Passages
from training.query_models.measures import (
    Candidates,
    gold_ranks,
    means,
    measure,
    selection_score,
)
from training.query_models.networks import (
    AttentionMixture,
    QueryNetwork,
    Shape,
    StackedGru,
    averaged,
    with_strength,
)
from training.query_models.settings import FitSettings
from training.query_models.start import discriminant_map
from training.query_models.windows import Windows, padded_vectors

Report = Callable[[str], None]

STRENGTHS = (0.5, 0.75, 1.3, 1.7, 2.2)
_NEVER = -1e4
_WARM_STEPS = 20
_ROWS_AT_ONCE = 512
_NETWORKS = {network.name: network for network in (AttentionMixture, StackedGru)}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Windows that nothing is learned from, and what they are searched among."""

    windows: Windows
    vectors: Float32Matrix
    candidates: Candidates

    def judge(self, network: QueryNetwork) -> dict[str, PerQuery]:
        """The measures of a network, one value a window."""
        queries = predict(network, self.windows, self.vectors)
        return dict(measure(gold_ranks(queries, self.windows, self.candidates)))


def validation_of(material: Material) -> HeldOut:
    """The windows of validation articles, of every length."""
    windows, vectors = material.windows("validation"), material.paragraphs.vectors
    return HeldOut(windows, vectors, material.candidates("validation"))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A network, the epoch and strength that were best, its figures on the windows held out."""

    network: QueryNetwork
    epoch: int
    strength: float
    score: float
    figures: dict[str, float]


def make_network(
    name: str, settings: FitSettings, passages: Sequence[Passages] = ()
) -> QueryNetwork:
    """An untrained network: a recency-weighted mean, and with passages the computed map of one."""
    torch.manual_seed(settings.seed)
    network = _NETWORKS[name](Shape(settings.width, settings.dropout))
    if passages and settings.discriminant:
        start = discriminant_map(passages, settings.shrinkage) * settings.discriminant
        network.straight.load_state_dict({"weight": torch.from_numpy(start)})
    return network


def fit(
    name: str,
    passages: Sequence[Passages],
    held_out: HeldOut,
    settings: FitSettings,
    report: Report,
) -> Fitted:
    """Train every member for all epochs; average those of the best score on held-out windows.

    The start counts too, so a model that learns nothing of use stays where it started. What
    the average adds is made weaker or stronger if the held-out windows like that better: on the
    articles that it was trained on an encoder's vectors are easier to predict than on others.
    """
    members = [
        _fit_member(name, passages, held_out, settings, member, report)
        for member in range(settings.members)
    ]
    network = averaged([each.network for each in members])
    best = _judged(network, members[0].epoch, held_out)
    for strength in STRENGTHS:
        judged = _judged(with_strength(network, strength), best.epoch, held_out, strength)
        if judged.score > best.score:
            best = judged
    report(f"best: strength {best.strength:g}, {_line(best)}")
    return best


def _fit_member(  # noqa: PLR0913, PLR0917 - one value each
    name: str,
    passages: Sequence[Passages],
    held_out: HeldOut,
    settings: FitSettings,
    member: int,
    report: Report,
) -> Fitted:
    """Members have the same start, without which their weights could not be averaged."""
    network = make_network(name, settings, passages)
    start = copy.deepcopy(network)
    torch.manual_seed(settings.seed + member)
    for layer in settings.frozen:
        network.get_submodule(layer).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    generator = np.random.default_rng(settings.seed + member)
    rates = _rates(settings, sum(_step_count(each, settings) for each in passages))
    best = _judged(network, 0, held_out)
    report(f"start: {_line(best)}")
    for epoch in range(1, settings.epochs + 1):
        losses = [
            _step(network, start, optimizer, batch, next(rates), settings)
            for batch in epoch_batches(passages, settings.batches, generator)
        ]
        judged = _judged(network, epoch, held_out)
        report(f"epoch {epoch}: loss {np.mean(losses):.3f}, {_line(judged)}")
        if judged.score > best.score:
            best = judged
    return best


def predict(network: QueryNetwork, windows: Windows, vectors: Float32Matrix) -> Float32Matrix:
    """Query vectors [n, 768] of windows over vectors."""
    network.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(windows), _ROWS_AT_ONCE):
            numbers = np.arange(start, min(start + _ROWS_AT_ONCE, len(windows)))
            items, mask = padded_vectors(windows.take(numbers), vectors)
            found.append(network(torch.from_numpy(items), torch.from_numpy(mask)).numpy())
    network.train()
    return np.concatenate(found)


def contrast_loss(queries: Tensor, batch: Batch, settings: FitSettings) -> Tensor:
    """Cross entropy of the answer among the batch's passages, the own context left out."""
    logits = queries @ torch.from_numpy(batch.negatives).T / settings.temperature
    logits = logits + torch.from_numpy(batch.own_context) * _NEVER
    weight = math.log(settings.same_article_weight)
    logits = logits + torch.from_numpy(batch.same_article) * weight
    return functional.cross_entropy(logits, torch.from_numpy(batch.answers))


def _step(  # noqa: PLR0913, PLR0917 - one value each
    network: QueryNetwork,
    start: QueryNetwork,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    rate: float,
    settings: FitSettings,
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * rate
    queries = network(_noisy(batch, settings.noise), torch.from_numpy(batch.mask))
    loss = contrast_loss(queries, batch, settings)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for parameter, origin in zip(network.parameters(), start.parameters(), strict=True):
            if parameter.requires_grad:
                parameter.lerp_(origin, settings.decay * rate)
    return float(loss.item())


def _noisy(batch: Batch, length: float) -> Tensor:
    """Items [n, 5, 768] with noise of that length, unit rows again; padding stays zero."""
    items = torch.from_numpy(batch.items)
    if not length:
        return items
    added = torch.randn_like(items) * (length / math.sqrt(items.shape[-1]))
    return functional.normalize(items + added, dim=-1) * torch.from_numpy(batch.mask)[..., None]


def _step_count(passages: Passages, settings: FitSettings) -> int:
    """Steps of all epochs, give or take what the groups leave in their last batches."""
    return settings.epochs * math.ceil(len(passages.windows) / settings.batches.size)


def _rates(settings: FitSettings, step_count: int) -> Iterator[float]:
    """Warm up, then down to zero along a cosine; zero for what comes after."""
    del settings
    step = 0
    while True:
        share = min(1.0, step / step_count)
        yield min(1.0, (step + 1) / _WARM_STEPS) * 0.5 * (1 + math.cos(math.pi * share))
        step += 1


def _judged(network: QueryNetwork, epoch: int, held_out: HeldOut, strength: float = 1.0) -> Fitted:
    measures = held_out.judge(network)
    score = selection_score(measures)
    return Fitted(copy.deepcopy(network), epoch, strength, score, means(measures))


def _line(fitted: Fitted) -> str:
    figures = ", ".join(f"{name} {value:.4f}" for name, value in fitted.figures.items())
    return f"{figures}, score {fitted.score:.4f}"
