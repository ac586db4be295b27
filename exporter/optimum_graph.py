"""Writes the float32 graph with optimum's exporter, the reference the lean graph is held to."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import onnx

from exporter.model_folder import GRAPH

_OUTPUT = "sentence_embedding"


def write_optimum_graph(source: Path, target_folder: Path) -> None:
    """Export encoder, pooling, Dense and normalise as one graph into `target_folder`/model.onnx.

    A model past 2 GB keeps its weights in a second file beside the graph.
    """
    from optimum.exporters.onnx import main_export  # slow to import, and only needed here

    with tempfile.TemporaryDirectory() as scratch:
        main_export(
            str(source),
            output=scratch,
            task="feature-extraction",
            library_name="sentence_transformers",
            do_validation=False,
        )
        graph = Path(scratch) / GRAPH
        _keep_sentence_output(graph)
        for path in sorted(Path(scratch).glob(f"{GRAPH}*")):
            shutil.move(path, target_folder / path.name)


def _keep_sentence_output(path: Path) -> None:
    """Drop the per-token output: nobody reads it, and it would be copied on every call."""
    model = onnx.load(path, load_external_data=False)
    kept = [output for output in model.graph.output if output.name == _OUTPUT]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    onnx.save(model, path)
