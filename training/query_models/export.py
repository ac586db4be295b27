"""Writes a trained network as ONNX with its manifest, once ONNX Runtime agrees with torch."""

from __future__ import annotations

import dataclasses
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from encoder_svc.onnx_query_model import (
    CONTEXT_INPUT,
    MASK_INPUT,
    QUERY_OUTPUT,
    OnnxQueryModel,
)
from encoder_svc.query_model_files import FORMAT
from encoder_svc.query_models import MAX_CONTEXT_ITEMS
from releases.layout import query_model_graph, query_model_manifest
from retrieval_core.checksums import sha256_of_file
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows
from training.query_models.networks import QueryNetwork, parameter_count
from training.query_models.settings import FitSettings

OPSET = 17
LARGEST_DEVIATION = 1e-5
_CHECKED_CONTEXTS = 500


class ExportError(RuntimeError):
    """The exported graph does not give what the network gives."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the weights came from; it goes into the manifest as it is."""

    encoder_fingerprint: str
    encoder_name: str
    corpus_sha256: str
    settings: FitSettings
    validation: dict[str, float]


def write_query_model(network: QueryNetwork, provenance: Provenance, folder: Path) -> float:
    """Write `<name>.onnx` and, last, `<name>.json` into `folder`.

    Returns the largest deviation from torch of any element; ExportError, and nothing written in
    place of what is there, when it is above 1e-5.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / query_model_graph(network.name)
    partial = path.with_suffix(".partial.onnx")
    partial.write_bytes(exported_graph(network))
    deviation = largest_deviation(network, OnnxQueryModel.load(network.name, partial))
    if deviation > LARGEST_DEVIATION:
        partial.unlink()
        raise ExportError(f"{network.name}: the graph is {deviation:.2g} away from torch")
    partial.replace(path)
    manifest = _manifest(network, provenance, path, deviation)
    text = json.dumps(manifest, indent=2) + "\n"
    (folder / query_model_manifest(network.name)).write_text(text, "utf-8")
    return deviation


def exported_graph(network: QueryNetwork) -> bytes:
    """The network as an ONNX file; any number of contexts at once."""
    network.eval()
    stream = io.BytesIO()
    example = (torch.zeros(2, MAX_CONTEXT_ITEMS, DIMENSIONS), torch.ones(2, MAX_CONTEXT_ITEMS))
    axes = {name: {0: "contexts"} for name in (CONTEXT_INPUT, MASK_INPUT, QUERY_OUTPUT)}
    torch.onnx.export(
        network,
        example,
        stream,
        input_names=[CONTEXT_INPUT, MASK_INPUT],
        output_names=[QUERY_OUTPUT],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    return stream.getvalue()


def largest_deviation(network: QueryNetwork, model: OnnxQueryModel) -> float:
    """Largest difference of an element between torch and the graph, over random contexts."""
    items, mask = _random_contexts()
    with torch.no_grad():
        expected = network(torch.from_numpy(items), torch.from_numpy(mask)).numpy()
    return float(np.abs(model.predict_padded(items, mask) - expected).max())


def _random_contexts() -> tuple[Float32Matrix, Float32Matrix]:
    """Contexts of every length whose items resemble each other, as those of an article do."""
    generator = np.random.default_rng(0)
    topics = generator.standard_normal((_CHECKED_CONTEXTS, 1, DIMENSIONS))
    spread = generator.standard_normal((_CHECKED_CONTEXTS, MAX_CONTEXT_ITEMS, DIMENSIONS))
    flat = (topics + spread).reshape(-1, DIMENSIONS)
    items = normalize_rows(flat).reshape(spread.shape)
    lengths = np.arange(_CHECKED_CONTEXTS) % MAX_CONTEXT_ITEMS + 1
    ages = np.arange(MAX_CONTEXT_ITEMS - 1, -1, -1)
    mask = (ages[None, :] < lengths[:, None]).astype(np.float32)
    return np.asarray(items * mask[..., None], np.float32), mask


def _manifest(
    network: QueryNetwork, provenance: Provenance, graph: Path, deviation: float
) -> dict[str, object]:
    return {
        "format": FORMAT,
        "name": network.name,
        "encoder_fingerprint": provenance.encoder_fingerprint,
        "encoder_name": provenance.encoder_name,
        "parameter_count": parameter_count(network),
        "trained_on": {"corpus_sha256": provenance.corpus_sha256},
        "settings": dataclasses.asdict(provenance.settings),
        "validation": {name: round(value, 4) for name, value in provenance.validation.items()},
        "largest_deviation_from_torch": float(f"{deviation:.2g}"),
        "license": "Apache-2.0",
        "files": {graph.name: {"sha256": sha256_of_file(graph), "bytes": graph.stat().st_size}},
    }
