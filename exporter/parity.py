"""python -m exporter.parity: how faithful a model folder is to its float32 source, by length."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from encoder_svc.manifest import open_model_folder
from exporter.errors import ExportError
from exporter.export import BOUNDS, ExportPlan, compare_with_source, export
from exporter.fidelity import figures_below, misses
from exporter.model_folder import GRAPH, MANIFEST, TOKENIZER
from exporter.reference import find_reference
from exporter.report import Report, format_report
from exporter.session import GraphRunner, TextTokenizer
from exporter.soundness import measure_soundness, unsound
from exporter.source import read_source
from exporter.texts import docstring_texts, read_texts
from retrieval_core.errors import RetrievalError

EXIT_INCONCLUSIVE = 4
_TEXT_COUNT = 550


def main(arguments: list[str] | None = None) -> int:
    """0: within the bounds; 1: a bound is missed or the model cannot be read; 2: wrong usage.

    4: nothing can be said of its fidelity, for the source is not here and nothing was recorded.
    """
    options = _parse(arguments)
    texts = read_texts(options.texts) if options.texts else docstring_texts(_TEXT_COUNT)
    try:
        report = _compare(options, texts)
    except (ExportError, RetrievalError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    text = json.dumps(asdict(report), indent=2) if options.json else format_report(report)
    sys.stdout.write(text + "\n")
    if report.missed:
        return 1
    return 0 if report.fidelity or report.recorded else EXIT_INCONCLUSIVE


def _compare(options: argparse.Namespace, texts: Sequence[str]) -> Report:
    with _written(options.model, texts) as folder:
        open_model_folder(folder)  # whose files have to be those of the manifest
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        reference = find_reference(options.model, manifest, options.reference)
        if reference.source is None:
            return _judge_alone(folder, manifest, reference.where, texts)
        fidelity = compare_with_source(reference.source, folder, texts, manifest["max_tokens"])
    missed = misses(fidelity, BOUNDS[manifest["precision"]])
    return Report(manifest["name"], manifest["precision"], reference.where, fidelity, missed)


def _judge_alone(
    folder: Path, manifest: dict[str, Any], where: str, texts: Sequence[str]
) -> Report:
    bounds = BOUNDS[manifest["precision"]]
    ids = TextTokenizer(folder / TOKENIZER, manifest["max_tokens"]).ids(texts)
    soundness = measure_soundness(GraphRunner(folder / GRAPH), ids)
    recorded = manifest.get("fidelity") or None
    missed = unsound(soundness, bounds.invariance)
    if recorded:
        missed += [f"at the export: {miss}" for miss in figures_below(recorded, bounds)]
    return Report(manifest["name"], manifest["precision"], where, None, missed, soundness, recorded)


@contextmanager
def _written(model: Path, texts: Sequence[str]) -> Iterator[Path]:
    """The model folder itself, or the int8 model of a source folder in a temporary place."""
    if (model / MANIFEST).is_file():
        yield model
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        plan = ExportPlan("int8", "lean", texts, model.name, bounds=None)
        export(read_source(model), folder, plan)
        yield folder


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m exporter.parity", description=__doc__)
    parser.add_argument(
        "--model",
        required=True,
        type=Path,
        help="a model folder, or a source folder (its int8 form is then made)",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        help="source folder; default: a checkpoint with the weights that the model was made of, "
        "or the source that its manifest names",
    )
    parser.add_argument("--texts", type=Path, help="JSON lines with `text`")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
