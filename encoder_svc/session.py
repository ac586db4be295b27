"""The model: batches of token ids to unit vectors, through ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from encoder_svc.tokens import PAD_ID
from retrieval_core.errors import DamagedArtifact, InternalError
from retrieval_core.timing import Clock, monotonic_ns
from retrieval_core.vectors import DIMENSIONS, UNIT_NORM_TOLERANCE, Float32Matrix

IDS_INPUT = "input_ids"
MASK_INPUT = "attention_mask"
VECTORS_OUTPUT = "sentence_embedding"

_WARM_LENGTHS = (2, 8, 16, 32, 64, 128)
_WARM_RUNS = 3
_ERRORS_ONLY = 3
_JUDGED_LENGTH = 32
_JUDGED_RUNS = 10
_ORDINARY_ID = 3

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Threads of one session, and whether they spin between operators instead of sleeping."""

    threads: int = 1
    spinning: bool = True


class EncoderSession:
    """One loaded graph, immutable; `run` may be called from several threads."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session

    @classmethod
    def load(cls, graph: Path, options: SessionOptions) -> Self:
        """Load a graph whose checksum was verified. DamagedArtifact where it is no encoder."""
        try:
            session = ort.InferenceSession(
                str(graph), _ort_options(options), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise DamagedArtifact(f"{graph}: is not a graph that can be run") from error
        _check_signature(graph, session)
        return cls(session)

    def run(self, batch: Sequence[Ids]) -> Float32Matrix:
        """Encode texts of any lengths as one padded batch; returns [n, 768] float32, unit norm.

        InternalError rather than a vector that is not of unit norm.
        """
        ids, mask = pad_batch(batch)
        (vectors,) = self._session.run([VECTORS_OUTPUT], {IDS_INPUT: ids, MASK_INPUT: mask})
        _check_vectors(vectors)
        checked: Float32Matrix = vectors
        return checked

    def warm(self, max_tokens: int) -> None:
        """Run texts of the usual lengths, so that the first call is not slow."""
        for length in (*_WARM_LENGTHS, max_tokens):
            for _ in range(_WARM_RUNS):
                self.run([[_ORDINARY_ID] * min(length, max_tokens)])

    def tokens_within(self, run_ms: float, clock: Clock = monotonic_ns) -> int:
        """How many tokens of one text run in that time, judged by the fastest of a few runs."""
        batch = [[_ORDINARY_ID] * _JUDGED_LENGTH]
        fastest_ns = min(_elapsed_ns(clock, self.run, batch) for _ in range(_JUDGED_RUNS))
        return int(run_ms * 1e6 * _JUDGED_LENGTH / max(1, fastest_ns))


def _elapsed_ns(clock: Clock, run: Callable[[Sequence[Ids]], object], batch: Sequence[Ids]) -> int:
    started_ns = clock()
    run(batch)
    return clock() - started_ns


def pad_batch(batch: Sequence[Ids]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Ids and mask [n, longest] int64; padding has mask 0."""
    longest = max(map(len, batch))
    if len(batch) == 1:
        return np.array([batch[0]], np.int64), np.ones((1, longest), np.int64)
    ids = np.full((len(batch), longest), PAD_ID, np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(batch):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def _ort_options(options: SessionOptions) -> ort.SessionOptions:
    made = ort.SessionOptions()
    made.intra_op_num_threads = options.threads
    made.inter_op_num_threads = 1
    made.log_severity_level = _ERRORS_ONLY
    made.add_session_config_entry(
        "session.intra_op.allow_spinning", "1" if options.spinning else "0"
    )
    return made


def _check_signature(graph: Path, session: ort.InferenceSession) -> None:
    inputs: list[Any] = session.get_inputs()
    outputs: list[Any] = session.get_outputs()
    names = sorted(node.name for node in inputs)
    shapes = {node.name: node.shape for node in outputs}
    if names != sorted((IDS_INPUT, MASK_INPUT)) or VECTORS_OUTPUT not in shapes:
        raise DamagedArtifact(f"{graph}: is no text encoder, its inputs are {names}")
    if shapes[VECTORS_OUTPUT][-1] != DIMENSIONS:
        raise DamagedArtifact(f"{graph}: gives {shapes[VECTORS_OUTPUT][-1]} dimensions")


def _check_vectors(vectors: npt.NDArray[np.float32]) -> None:
    # The square of a norm is off by twice as much as the norm. Plain numbers from there on: for a
    # batch of one, numpy's reductions cost more than the rest. Written so that NaN fails too.
    squares: list[float] = np.vecdot(vectors, vectors).tolist()
    if not all(abs(square - 1.0) < 2 * UNIT_NORM_TOLERANCE for square in squares):
        raise InternalError("the encoder gave a vector that is not of unit norm")
