"""Evens out the directions of the vectors, inside the Dense layer.

A few directions carry most of every vector's length and say little about which passage it is. The
Dense layer's output is multiplied by a power of the inverse covariance of paragraphs and questions;
as a unit vector is all that is kept of it, the model stays the same graph at the same cost.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.encoder.encoding import TextEncoder, TextRows, encode_all
from training.encoder.examples import ParagraphExamples
from training.encoder.model import SentenceEncoder

LIMIT = 512
QUESTION_SHARE = 9  # one question in so many is enough for a covariance
FLOOR = 1e-4  # of the mean variance, added to each


def whiten(model: SentenceEncoder, examples: ParagraphExamples, power: float) -> None:
    """Folds covariance^(-power / 2) into the Dense layer, which keeps its size; 0 changes nothing.

    The covariance is the mean of those of the paragraphs and of some questions, each of trace 1.
    """
    encoder = TextEncoder(model, model.dense.weight.device)
    asked = np.arange(0, len(examples.questions), QUESTION_SHARE)
    with torch.inference_mode():
        paragraphs = encode_all(encoder, examples.paragraphs, LIMIT)
        (questions,) = encoder.encode([TextRows(examples.questions, asked, LIMIT)])
        change = inverse_power(_covariance(paragraphs) + _covariance(questions), power)
    weight = model.dense.weight
    with torch.no_grad():
        changed = change.clone() @ weight
        weight.copy_(changed * (weight.norm() / changed.norm()))


def inverse_power(covariance: Tensor, power: float) -> Tensor:
    """covariance^(-power / 2) of a symmetric [d, d], its small eigenvalues lifted by FLOOR."""
    values, directions = torch.linalg.eigh(covariance)
    values = values.clamp(min=0.0) + FLOOR * values.mean()
    return (directions * values ** (-power / 2)) @ directions.T


def _covariance(vectors: Tensor) -> Tensor:
    product = vectors.T @ vectors
    return product / product.trace()
