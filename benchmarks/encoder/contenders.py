"""The same encoder run in several ways: sentence-transformers, ONNX Runtime, and ours.

Offline only: this needs the training environment. Each contender takes token ids and is timed
without tokenising.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from exporter.export import ExportPlan, Writer, export
from exporter.model_folder import GRAPH
from exporter.source import read_source
from exporter.t5_graph import Precision

Encode = Callable[[Sequence[int]], object]


@dataclass(frozen=True)
class Graph:
    """One exported form of the source."""

    precision: Precision
    writer: Writer

    @property
    def folder_name(self) -> str:
        """Where it is kept."""
        return f"{self.precision}-{self.writer}"


OPTIMUM = "ONNX Runtime fp32 (optimum)"
GRAPHS = {
    OPTIMUM: Graph("fp32", "optimum"),
    "ONNX Runtime fp32 (lean graph)": Graph("fp32", "lean"),
    "int8, one scale per token (ours)": Graph("int8", "lean"),
}
TORCH = "sentence-transformers, torch fp32"
ONNX_BACKEND = "sentence-transformers, ONNX backend"
NAMES = (TORCH, ONNX_BACKEND, *GRAPHS)


def export_graphs(source: Path, scratch: Path, texts: Sequence[str]) -> None:
    """Write every graph that `scratch` does not have yet."""
    for graph in GRAPHS.values():
        folder = scratch / graph.folder_name
        if not folder.exists():
            plan = ExportPlan(graph.precision, graph.writer, texts, "random weights", None)
            export(read_source(source), folder, plan)


def serve_contender(
    name: str, source: Path, scratch: Path, threads: int, turns: Connection
) -> None:
    """The body of one contender's process: ids in, milliseconds of a warmed run out.

    Each has a process of its own, for idle threads of one pool would spin on the cores of another.
    The first message is None, or why this contender does not run.
    """
    # It warns of a decoder without weights, at length; an encoder has none.
    transformers_logging.set_verbosity_error()
    try:
        encode = _open_contender(name, source, scratch, threads)
        encode([3, 1])
    except Exception as error:  # noqa: BLE001 - whatever it is goes into the report
        turns.send(f"{type(error).__name__}: {error}".splitlines()[0][:200])
        return
    turns.send(None)
    while (ids := turns.recv()) is not None:
        encode(ids)
        encode(ids)
        started = time.perf_counter()
        encode(ids)
        turns.send((time.perf_counter() - started) * 1000)


def _open_contender(name: str, source: Path, scratch: Path, threads: int) -> Encode:
    torch.set_num_threads(threads)
    if name in GRAPHS:
        return _onnx_encode(scratch / GRAPHS[name].folder_name / GRAPH, threads)
    if name == TORCH:
        return _sentence_encode(SentenceTransformer(str(source), device="cpu"))
    options = {"provider": "CPUExecutionProvider"}
    return _sentence_encode(SentenceTransformer(str(source), backend="onnx", model_kwargs=options))


def _onnx_encode(graph: Path, threads: int) -> Encode:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def encode(ids: Sequence[int]) -> object:
        row = np.array([ids], np.int64)
        feeds = {"input_ids": row, "attention_mask": np.ones_like(row)}
        return session.run(["sentence_embedding"], feeds)

    return encode


def _sentence_encode(model: SentenceTransformer) -> Encode:
    def encode(ids: Sequence[int]) -> object:
        row = torch.tensor([list(ids)])
        features = {"input_ids": row, "attention_mask": torch.ones_like(row)}
        with torch.inference_mode():
            return model(features)["sentence_embedding"].numpy()

    return encode
