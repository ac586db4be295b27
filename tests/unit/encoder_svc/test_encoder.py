"""The encoder for offline work: order, determinism, progress."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from encoder_svc.encoder import Encoder
from encoder_svc.session import EncoderSession, SessionOptions
from retrieval_core.errors import InternalError, InvalidInput
from tests.support.tiny_encoder import WORDS, write_tiny_folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(write_tiny_folder(tmp_path_factory.mktemp("m") / "model"))


def texts(count: int) -> list[str]:
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS, generator.integers(1, 40))) for _ in range(count)]


def test_rows_belong_to_their_texts_whatever_the_batches(encoder: Encoder) -> None:
    some = texts(40)
    together = encoder.encode(some)
    for index in (0, 7, 39):
        alone = encoder.encode([some[index]]).vectors[0]
        assert float(alone @ together.vectors[index]) >= 0.99999
    assert together.truncated_count == sum(count > 32 for count in together.token_counts) > 0


def test_the_same_texts_give_the_same_bytes(encoder: Encoder) -> None:
    some = texts(30)
    assert encoder.encode(some).vectors.tobytes() == encoder.encode(some).vectors.tobytes()


def test_progress_adds_up(encoder: Encoder) -> None:
    seen: list[int] = []
    encoder.encode(texts(25), progress=seen.append)
    assert sum(seen) == 25


def test_no_text_is_encoded_when_one_is_bad(encoder: Encoder) -> None:
    seen: list[int] = []
    with pytest.raises(InvalidInput) as caught:
        encoder.encode(["house", "door", "\u200b"], progress=seen.append)
    assert caught.value.violations[0].field == "texts[2]"
    assert seen == []


class ScaledGraph:
    """A session whose second vector has this norm."""

    def __init__(self, norm: float) -> None:
        self.vectors = np.zeros((2, 768), np.float32)
        self.vectors[:, :2] = np.sqrt(0.5)
        self.vectors[1, :2] *= np.float32(norm)

    def run(self, names: list[str], feeds: dict[str, object]) -> list[object]:
        return [self.vectors]


@pytest.mark.parametrize("norm", [1.000012, 0.999988, 0.0, float("nan"), float("inf")])
def test_a_vector_that_is_not_of_unit_norm_never_leaves_the_session(norm: float) -> None:
    with pytest.raises(InternalError):
        EncoderSession(ScaledGraph(norm)).run([(3, 1), (4, 1)])


@pytest.mark.parametrize("norm", [1.000009, 0.999991])
def test_what_rounding_leaves_is_of_unit_norm(norm: float) -> None:
    assert EncoderSession(ScaledGraph(norm)).run([(3, 1), (4, 1)]).shape == (2, 768)


def test_warming_reaches_the_longest_text(tmp_path: Path) -> None:
    folder = write_tiny_folder(tmp_path / "model")
    session = EncoderSession.load(folder / "model.onnx", SessionOptions(threads=2, spinning=False))
    session.warm(32)
    assert session.run([(3, 1), (4, 5, 6, 1)]).shape == (2, 768)
