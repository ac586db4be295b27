"""Query models that are real graphs, small and without training, with the files that serve them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from encoder_svc.onnx_query_model import CONTEXT_INPUT, MASK_INPUT, QUERY_OUTPUT
from encoder_svc.query_model_files import FORMAT
from encoder_svc.query_models import MAX_CONTEXT_ITEMS
from releases.layout import query_model_graph, query_model_manifest
from retrieval_core.checksums import sha256_of_file
from retrieval_core.vectors import DIMENSIONS

OLDEST_MOST = (16.0, 8.0, 4.0, 2.0, 1.0)
"""Weights that no rule has: each step back counts twice."""


def write_query_model(
    folder: Path,
    name: str,
    fingerprint: str,
    weights: tuple[float, ...] = OLDEST_MOST,
    *,
    unit: bool = True,
) -> Path:
    """A model that adds the items up by weights, oldest first; returns its manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / query_model_graph(name)
    onnx.save(_graph(weights, unit=unit), str(path))
    record = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    manifest = folder / query_model_manifest(name)
    fields = {
        "format": FORMAT,
        "name": name,
        "encoder_fingerprint": fingerprint,
        "parameter_count": len(weights),
        "files": {path.name: record},
    }
    manifest.write_text(json.dumps(fields), "utf-8")
    return manifest


def _graph(weights: tuple[float, ...], *, unit: bool) -> onnx.ModelProto:
    constants: dict[str, npt.NDArray[np.generic]] = {
        "weights": np.array(weights, np.float32)[None, :, None],
        "axis_1": np.array([1], np.int64),
        "axis_2": np.array([2], np.int64),
    }
    last = "sum" if unit else QUERY_OUTPUT
    nodes = [
        helper.make_node("Unsqueeze", [MASK_INPUT, "axis_2"], ["column"]),
        helper.make_node("Mul", [CONTEXT_INPUT, "column"], ["items"]),
        helper.make_node("Mul", ["items", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axis_1"], [last], keepdims=0),
    ]
    if unit:
        nodes.append(helper.make_node("LpNormalization", [last], [QUERY_OUTPUT], axis=-1, p=2))
    graph = helper.make_graph(
        nodes,
        "query_model",
        [
            _floats(CONTEXT_INPUT, MAX_CONTEXT_ITEMS, DIMENSIONS),
            _floats(MASK_INPUT, MAX_CONTEXT_ITEMS),
        ],
        [_floats(QUERY_OUTPUT, DIMENSIONS)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def _floats(name: str, *sizes: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["contexts", *sizes])
