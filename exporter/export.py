"""From a source folder to a published model folder: calibrate, write, check, publish."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx

from exporter.calibration import largest_activations
from exporter.errors import ParityMissed
from exporter.fidelity import FP32_BOUNDS, INT8_BOUNDS, Bounds, Fidelity, measure_fidelity, misses
from exporter.migration import migrate
from exporter.model_folder import (
    CARD,
    GRAPH,
    TOKENIZER,
    Description,
    staged,
    write_manifest,
)
from exporter.session import GraphRunner, TextTokenizer
from exporter.source import SourceModel, weights_digest
from exporter.t5_graph import Precision, write_encoder
from exporter.tokenizer import write_tokenizer

Writer = Literal["lean", "optimum"]
BOUNDS: dict[str, Bounds] = {"fp32": FP32_BOUNDS, "int8": INT8_BOUNDS}
_CALIBRATION_SHARE = 4


@dataclass(frozen=True)
class ExportPlan:
    """What to write. `texts` calibrate and check; `writer` matters for fp32 only.

    Without `bounds` the model is published unchecked.
    """

    precision: Precision
    writer: Writer
    texts: Sequence[str]
    source_label: str
    bounds: Bounds | None


def export(source: SourceModel, target: Path, plan: ExportPlan) -> dict[str, Any]:
    """Write `target` as a model folder and return its manifest.

    Raises ParityMissed, and leaves `target` as it was, if the model misses its bounds.
    """
    with staged(target) as stage:
        write_tokenizer(source.folder, stage / TOKENIZER)
        _write_graph(source, stage, plan)
        fidelity = _checked(source, stage, plan)
        if (source.folder / CARD).is_file():
            shutil.copyfile(source.folder / CARD, stage / CARD)
        return write_manifest(stage, _describe(source, plan, fidelity))


def compare_with_source(
    source: SourceModel, folder: Path, texts: Sequence[str], max_tokens: int
) -> Fidelity:
    """Fidelity of a model folder to the float32 graph of its source."""
    ids = TextTokenizer(folder / TOKENIZER, max_tokens).ids(texts)
    reference = GraphRunner(write_encoder(source.weights, "fp32").SerializeToString())
    return measure_fidelity(reference, GraphRunner(folder / GRAPH), ids)


def _checked(source: SourceModel, stage: Path, plan: ExportPlan) -> Fidelity | None:
    if plan.bounds is None:
        return None
    fidelity = compare_with_source(source, stage, plan.texts, source.max_tokens)
    missed = misses(fidelity, plan.bounds)
    if missed:
        raise ParityMissed(f"{source.name} {plan.precision}: " + "; ".join(missed))
    return fidelity


def _write_graph(source: SourceModel, stage: Path, plan: ExportPlan) -> None:
    if plan.precision == "fp32" and plan.writer == "optimum":
        from exporter.optimum_graph import write_optimum_graph  # pulls in transformers

        write_optimum_graph(source.folder, stage)
        return
    weights = source.weights
    if plan.precision == "int8":
        tokenizer = TextTokenizer(stage / TOKENIZER, source.max_tokens)
        calibration = tokenizer.ids(plan.texts[::_CALIBRATION_SHARE])
        weights = migrate(weights, largest_activations(weights, calibration))
    onnx.save(write_encoder(weights, plan.precision), stage / GRAPH)


def _describe(source: SourceModel, plan: ExportPlan, fidelity: Fidelity | None) -> Description:
    return Description(
        name=source.name,
        dimensions=source.weights.shape.dimensions,
        max_tokens=source.max_tokens,
        precision=plan.precision,
        batch_invariant=True,
        source=plan.source_label,
        license=source.license,
        fidelity=fidelity.summary() if fidelity else {},
        source_weights=weights_digest(source.folder),
    )
