"""What settings are chosen by: questions and next passages of the validation articles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from training.encoder.encoding import TextEncoder, TextRows, encode_all
from training.encoder.examples import TrainingTexts
from training.encoder.measures import exact_ranks, retrieval_measures
from training.encoder.next_passage import RULES, NextPassageTask, next_ranks, windows

LIMIT = 512
QUESTIONS = 2600
TRAINING_SHARE = 16  # one training paragraph in so many is a candidate as well
CHOSEN_MEASURE = "chosen"
_RULE = "recency-weighted mean"


def validation_measures(encoder: TextEncoder, texts: TrainingTexts) -> Mapping[str, float]:
    """Measures of both tasks among the validation paragraphs and some of the training paragraphs.

    `chosen` is the mean of the questions' MRR@10 and the next passages' MRR@10 and Contain@50.
    """
    examples = texts.validation
    asked = np.arange(0, len(examples.questions), max(1, len(examples.questions) // QUESTIONS))
    others = np.arange(0, len(texts.train.paragraphs), TRAINING_SHARE)
    with torch.inference_mode():
        (queries,) = encoder.encode([TextRows(examples.questions, asked, LIMIT)])
        own = encode_all(encoder, examples.paragraphs, LIMIT)
        (rest,) = encoder.encode([TextRows(texts.train.paragraphs, others, LIMIT)])
    vectors = torch.cat([own, rest]).float().cpu().numpy()
    found = retrieval_measures(
        exact_ranks(queries.float().cpu().numpy(), vectors, examples.owners[asked])
    )
    contexts, owners = windows(examples.following.tolist())
    task = NextPassageTask([""] * len(vectors), contexts, owners)
    following = retrieval_measures(next_ranks(vectors, task, RULES[_RULE]))
    chosen = (found["MRR@10"] + following["MRR@10"] + following["Contain@50"]) / 3
    return {
        CHOSEN_MEASURE: chosen,
        **{f"questions {name}": value for name, value in found.items()},
        **{f"next {name}": value for name, value in following.items()},
    }
