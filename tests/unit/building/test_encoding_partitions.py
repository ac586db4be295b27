"""Encoding goes on where it stopped, is the same on any number of threads, and refuses nonsense."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from building import encoding
from building.encoding import Encoding, encode_passages
from retrieval_core.errors import DamagedArtifact
from retrieval_core.vectors import Float32Matrix, normalize_rows

TEXTS = [f"text {number}" for number in range(50)]


class Recorder:
    """A unit vector a text; remembers what it was asked for."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.asked: list[str] = []
        self._fail_after = fail_after
        self._lock = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> Float32Matrix:
        with self._lock:
            if self._fail_after is not None and len(self.asked) >= self._fail_after:
                raise KeyboardInterrupt
            self.asked.extend(texts)
        rows = [np.random.default_rng(int(text.split()[1])).normal(size=768) for text in texts]
        return normalize_rows(np.array(rows))


@pytest.fixture(autouse=True)
def small_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "PARTITION_ROWS", 8)


def _encode(
    work: Path, encoder: Recorder, texts: Sequence[str] = TEXTS, workers: int = 1, name: str = "a"
) -> Float32Matrix:
    return encode_passages(texts, Encoding(encoder, name, work, workers), lambda count: None)


def test_order_and_bytes_do_not_depend_on_threads(tmp_path: Path) -> None:
    one = _encode(tmp_path / "1", _made(tmp_path / "1"), workers=1)
    many = _encode(tmp_path / "4", _made(tmp_path / "4"), workers=4)
    assert one.shape == (50, 768)
    assert one.dtype == np.float32
    assert one.tobytes() == many.tobytes() == Recorder()(TEXTS).tobytes()


def _made(work: Path) -> Recorder:
    work.mkdir()
    return Recorder()


def test_a_stopped_encoding_goes_on_and_gives_the_same(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _encode(tmp_path, Recorder(fail_after=20))
    second = Recorder()
    counts: list[int] = []
    vectors = encode_passages(TEXTS, Encoding(second, "a", tmp_path, 1), counts.append)
    assert second.asked == TEXTS[24:]
    assert counts == [24, 8, 8, 8, 2]
    assert vectors.tobytes() == Recorder()(TEXTS).tobytes()


@pytest.mark.parametrize("damage", ["vectors", "sidecar", "no sidecar"])
def test_damaged_partitions_are_done_again(tmp_path: Path, damage: str) -> None:
    expected = _encode(tmp_path, Recorder())
    victim = sorted(tmp_path.glob("000002-*.npy"))[0]
    if damage == "vectors":
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    elif damage == "sidecar":
        victim.with_suffix(".json").write_text("{")
    else:
        victim.with_suffix(".json").unlink()
    again = Recorder()
    assert _encode(tmp_path, again).tobytes() == expected.tobytes()
    assert again.asked == TEXTS[16:24]


def test_only_changed_partitions_are_done_again(tmp_path: Path) -> None:
    _encode(tmp_path, Recorder())
    changed = [*TEXTS[:10], "text 99", *TEXTS[11:]]
    again = Recorder()
    vectors = _encode(tmp_path, again, changed)
    assert again.asked == changed[8:16]
    assert vectors.tobytes() == Recorder()(changed).tobytes()


def test_vectors_of_another_encoder_are_never_taken(tmp_path: Path) -> None:
    _encode(tmp_path, Recorder())
    again = Recorder()
    _encode(tmp_path, again, name="b")
    assert again.asked == TEXTS


@pytest.mark.parametrize(
    ("scale", "message"), [(1.001, "unit norm"), (float("nan"), "NaN"), (0.0, "unit norm")]
)
def test_vectors_that_are_no_directions_are_refused(
    tmp_path: Path, scale: float, message: str
) -> None:
    def bad(texts: Sequence[str]) -> Float32Matrix:
        return Recorder()(texts) * np.float32(scale)

    with pytest.raises(DamagedArtifact, match=message):
        encode_passages(TEXTS, Encoding(bad, "a", tmp_path, 2), lambda count: None)
    assert list(tmp_path.glob("*.json")) == []


def test_a_vector_too_few_is_refused(tmp_path: Path) -> None:
    def short(texts: Sequence[str]) -> Float32Matrix:
        return Recorder()(texts[1:])

    with pytest.raises(DamagedArtifact, match="7 vectors for 8 texts"):
        encode_passages(TEXTS, Encoding(short, "a", tmp_path, 1), lambda count: None)
