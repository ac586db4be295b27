"""A learned query model through ONNX Runtime: pad, run, check the norm."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort

from encoder_svc.query_models import MAX_CONTEXT_ITEMS
from retrieval_core.errors import DamagedArtifact, InternalError
from retrieval_core.timing import Clock, monotonic_ns
from retrieval_core.vectors import (
    DIMENSIONS,
    UNIT_NORM_TOLERANCE,
    Float32Matrix,
    normalize_rows,
)

CONTEXT_INPUT = "context"
MASK_INPUT = "mask"
QUERY_OUTPUT = "query"

_WARM_RUNS = 50
_ERRORS_ONLY = 3


class OnnxQueryModel:
    """One loaded graph, immutable; `predict` may be called from several threads."""

    def __init__(self, name: str, session: ort.InferenceSession) -> None:
        self.name = name
        self._session = session

    @classmethod
    def load(cls, name: str, graph: Path) -> Self:
        """Load a graph whose checksum was verified. DamagedArtifact where it is no query model."""
        options = ort.SessionOptions()
        # A call is one row of products: handing parts to other threads costs more than it saves.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise DamagedArtifact(f"{graph}: is not a graph that can be run") from error
        _check_signature(graph, session)
        return cls(name, session)

    def predict(self, context: Float32Matrix) -> Float32Matrix:
        """See QueryModel.predict. InternalError rather than a vector that is not of unit norm."""
        items, mask = pad_context(context)
        return self.predict_padded(items, mask)

    def predict_padded(self, items: Float32Matrix, mask: Float32Matrix) -> Float32Matrix:
        """Items [n, 5, 768] and mask [n, 5], as pad_context makes them; returns [n, 768]."""
        (vectors,) = self._session.run([QUERY_OUTPUT], {CONTEXT_INPUT: items, MASK_INPUT: mask})
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        # Written so that NaN fails too.
        if not (np.abs(norms - 1.0) < UNIT_NORM_TOLERANCE).all():
            raise InternalError(f"{self.name} gave a vector that is not of unit norm")
        checked: Float32Matrix = vectors
        return checked

    def warm(self, clock: Clock = monotonic_ns) -> int:
        """Run contexts of every length; returns the median run of the last ones, in ns."""
        generator = np.random.default_rng(0)
        durations: list[int] = []
        for run in range(_WARM_RUNS):
            length = run % MAX_CONTEXT_ITEMS + 1
            context = normalize_rows(generator.standard_normal((length, DIMENSIONS)))
            started_ns = clock()
            self.predict(context)
            durations.append(clock() - started_ns)
        return int(np.median(durations[_WARM_RUNS // 2 :]))


def pad_context(context: Float32Matrix) -> tuple[Float32Matrix, Float32Matrix]:
    """Items [1, 5, 768] and mask [1, 5] float32 of a context [1..5, 768], oldest first.

    The last passage stands in the last place whatever the length; padding is zero with mask 0.
    """
    items = np.zeros((1, MAX_CONTEXT_ITEMS, DIMENSIONS), np.float32)
    mask = np.zeros((1, MAX_CONTEXT_ITEMS), np.float32)
    items[0, -len(context) :] = context
    mask[0, -len(context) :] = 1.0
    return items, mask


def _check_signature(graph: Path, session: ort.InferenceSession) -> None:
    inputs: list[Any] = session.get_inputs()
    outputs: list[Any] = session.get_outputs()
    shapes = {node.name: list(node.shape[1:]) for node in (*inputs, *outputs)}
    expected = {
        CONTEXT_INPUT: [MAX_CONTEXT_ITEMS, DIMENSIONS],
        MASK_INPUT: [MAX_CONTEXT_ITEMS],
        QUERY_OUTPUT: [DIMENSIONS],
    }
    if shapes != expected:
        raise DamagedArtifact(f"{graph}: is no query model, its inputs and outputs are {shapes}")
