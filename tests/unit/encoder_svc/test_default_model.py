"""The embedded default: whole, small enough for the repository, and what a sentence encoder is."""

from __future__ import annotations

import numpy as np
import pytest

from encoder_svc.encoder import DEFAULT_MODEL_FOLDER, Encoder

LARGEST_BYTES = 25_000_000
QUESTION = "How do I read a comma separated file into dictionaries?"
ANSWER = "The DictReader class maps the information in each row of a CSV file to a dict."
OTHERS = (
    "Norwegian fjords were carved by glaciers during the last ice age.",
    "The parliament is elected every four years by proportional representation.",
    "Return the hyperbolic tangent of x.",
)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load()


def test_it_fits_in_the_repository() -> None:
    assert sum(path.stat().st_size for path in DEFAULT_MODEL_FOLDER.iterdir()) <= LARGEST_BYTES


def test_it_is_int8_and_says_that_batches_do_not_matter(encoder: Encoder) -> None:
    assert encoder.manifest.precision == "int8"
    assert encoder.manifest.batch_invariant


def test_batch_mates_do_not_change_a_vector(encoder: Encoder) -> None:
    texts = [QUESTION, ANSWER * 12, "x", *OTHERS]
    together = encoder.encode(texts).vectors
    alone = np.concatenate([encoder.encode([text]).vectors for text in texts])
    assert (together * alone).sum(axis=1).min() >= 0.99999
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_a_question_is_nearest_to_its_answer(encoder: Encoder) -> None:
    question, *passages = encoder.encode([QUESTION, ANSWER, *OTHERS]).vectors
    scores = np.stack(passages) @ question
    assert int(scores.argmax()) == 0
    assert scores[0] > scores[1:].max() + 0.1
