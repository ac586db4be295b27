"""Writes trained rankers as one ONNX graph, standardisation included, and their manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from releases.layout import RERANKER_MANIFEST_NAME, RERANKER_MODEL_NAME
from rerank_svc.candidates import QueryKind
from rerank_svc.features import FEATURE_NAMES
from rerank_svc.manifest import FORMAT
from rerank_svc.model import FEATURES_INPUT, KIND_INPUT, SCORES_OUTPUT
from retrieval_core.checksums import sha256_of_file
from retrieval_core.projection import (
    PROJECTION_COLUMNS,
    PROJECTION_SEED,
    projection_digest,
    projection_matrix,
)
from training.reranker.fit import Ranker
from training.reranker.network import CLIP, Floats

MODEL_NAME = "reranker_mlp_v0"
OPSET = 17
# The oldest file version that has the operator set; newer runtimes read it too.
IR_VERSION = 8


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the weights came from; it goes into the manifest as it is."""

    encoder_fingerprint: str
    encoder_name: str
    corpus_sha256: str
    counts: Mapping[str, int]
    query_models: str = ""


def reranker_graph(rankers: Mapping[QueryKind, Ranker]) -> onnx.ModelProto:
    """One graph with the weights of every kind of query, picked by its second input.

    Inputs features [n, f] float32 and query_kind [1] int64; output scores [n] float32.
    """
    arrays = _stacked(rankers)
    picked = {name: f"picked_{name}" for name in arrays}
    nodes = [
        # Axis 0 of every array is the kind; a scalar index drops it.
        helper.make_node("Squeeze", [KIND_INPUT, "axis_0"], ["kind"]),
        *(
            helper.make_node("Gather", [name, "kind"], [output], axis=0)
            for name, output in picked.items()
        ),
        helper.make_node("Sub", [FEATURES_INPUT, picked["means"]], ["centred"]),
        helper.make_node("Mul", ["centred", picked["inverse_scales"]], ["scaled"]),
        helper.make_node("Clip", ["scaled", "lowest", "highest"], ["inputs"]),
        helper.make_node("MatMul", ["inputs", picked["hidden"]], ["products"]),
        helper.make_node("Add", ["products", picked["bias"]], ["before"]),
        helper.make_node("Relu", ["before"], ["activations"]),
        helper.make_node("MatMul", ["activations", picked["output"]], [SCORES_OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        MODEL_NAME,
        [
            helper.make_tensor_value_info(
                FEATURES_INPUT, TensorProto.FLOAT, ["candidates", len(FEATURE_NAMES)]
            ),
            helper.make_tensor_value_info(KIND_INPUT, TensorProto.INT64, [1]),
        ],
        [helper.make_tensor_value_info(SCORES_OUTPUT, TensorProto.FLOAT, ["candidates"])],
        [numpy_helper.from_array(array, name) for name, array in (arrays | _constants()).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def write_reranker(
    rankers: Mapping[QueryKind, Ranker], provenance: Provenance, folder: Path
) -> None:
    """Write graph and manifest into `folder`, the manifest last."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RERANKER_MODEL_NAME
    path.write_bytes(reranker_graph(rankers).SerializeToString(deterministic=True))
    record = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    manifest = {
        "format": FORMAT,
        "name": MODEL_NAME,
        "encoder_fingerprint": provenance.encoder_fingerprint,
        "encoder_name": provenance.encoder_name,
        "projection_dimensions": PROJECTION_COLUMNS,
        "projection": {
            "seed": PROJECTION_SEED,
            "digest": projection_digest(projection_matrix()),
        },
        "feature_names": list(FEATURE_NAMES),
        "trained_on": {
            "corpus_sha256": provenance.corpus_sha256,
            "query_models": provenance.query_models,
            **provenance.counts,
        },
        "license": "Apache-2.0",
        "files": {RERANKER_MODEL_NAME: record},
    }
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / RERANKER_MANIFEST_NAME).write_text(text, "utf-8")


def _stacked(rankers: Mapping[QueryKind, Ranker]) -> dict[str, Floats]:
    ordered = [rankers[kind] for kind in sorted(QueryKind)]
    return {
        "means": np.stack([ranker.standardisation.means for ranker in ordered]),
        "inverse_scales": np.stack([ranker.standardisation.inverse_scales for ranker in ordered]),
        "hidden": np.stack([ranker.network.hidden for ranker in ordered]),
        "bias": np.stack([ranker.network.bias for ranker in ordered]),
        "output": np.stack([ranker.network.output for ranker in ordered]),
    }


def _constants() -> dict[str, npt.NDArray[np.float32] | npt.NDArray[np.int64]]:
    return {
        "axis_0": np.zeros(1, np.int64),
        "lowest": np.array(-CLIP, np.float32),
        "highest": np.array(CLIP, np.float32),
    }
