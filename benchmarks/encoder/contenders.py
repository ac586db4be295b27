"""The same encoder run in several ways: sentence-transformers, ONNX Runtime, and ours.

Offline only: this needs the training environment. Each contender takes token ids and is timed
without tokenising.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from sentence_transformers import SentenceTransformer

from exporter.export import ExportPlan, export
from exporter.model_folder import GRAPH
from exporter.source import read_source

Encode = Callable[[Sequence[int]], object]


@dataclass(frozen=True)
class Contender:
    """One way to run the model, or why it does not run."""

    name: str
    encode: Encode | None
    problem: str = ""


def make_contenders(
    source: Path, scratch: Path, threads: int, texts: Sequence[str]
) -> list[Contender]:
    """All ways, slowest first; `scratch` keeps the exported graphs between calls."""
    torch.set_num_threads(threads)
    folders = {
        "ONNX Runtime fp32 (optimum)": ("fp32", "optimum"),
        "ONNX Runtime fp32 (lean graph)": ("fp32", "lean"),
        "int8, one scale per token (ours)": ("int8", "lean"),
    }
    graphs = []
    for name, (precision, writer) in folders.items():
        folder = scratch / f"{precision}-{writer}"
        if not folder.exists():
            plan = ExportPlan(precision, writer, texts, "random weights", None)  # type: ignore[arg-type]
            export(read_source(source), folder, plan)
        graphs.append(Contender(name, _onnx_encode(folder / GRAPH, threads)))
    return [_torch_contender(source), _onnx_backend_contender(source), *graphs]


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


def _torch_contender(source: Path) -> Contender:
    model = SentenceTransformer(str(source), device="cpu")
    return Contender("sentence-transformers, torch fp32", _sentence_encode(model))


def _onnx_backend_contender(source: Path) -> Contender:
    name = "sentence-transformers, ONNX backend"
    try:
        model = SentenceTransformer(
            str(source), backend="onnx", model_kwargs={"provider": "CPUExecutionProvider"}
        )
        encode = _sentence_encode(model)
        encode([3, 1])
    except Exception as error:  # noqa: BLE001 - whatever it is goes into the report
        return Contender(name, None, f"{type(error).__name__}: {error}".splitlines()[0][:200])
    return Contender(name, encode)


def _sentence_encode(model: SentenceTransformer) -> Encode:
    def encode(ids: Sequence[int]) -> object:
        row = torch.tensor([list(ids)])
        features = {"input_ids": row, "attention_mask": torch.ones_like(row)}
        with torch.inference_mode():
            return model(features)["sentence_embedding"].numpy()

    return encode
