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

from exporter.errors import ExportError, SourceInvalid
from exporter.export import BOUNDS, ExportPlan, compare_with_source, export
from exporter.fidelity import misses
from exporter.model_folder import MANIFEST
from exporter.report import Report, format_report
from exporter.source import SourceModel, read_source, resolve_folder
from exporter.texts import docstring_texts, read_texts

_TEXT_COUNT = 550


def main(arguments: list[str] | None = None) -> int:
    """0: within the bounds; 1: a bound is missed or the model cannot be read; 2: wrong usage."""
    options = _parse(arguments)
    texts = read_texts(options.texts) if options.texts else docstring_texts(_TEXT_COUNT)
    try:
        with _written(options.model, texts) as folder:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            reference = _read_reference(options, manifest)
            fidelity = compare_with_source(reference, folder, texts, manifest["max_tokens"])
    except (ExportError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    missed = misses(fidelity, BOUNDS[manifest["precision"]])
    report = Report(manifest["name"], manifest["precision"], fidelity, missed)
    text = json.dumps(asdict(report), indent=2) if options.json else format_report(report)
    sys.stdout.write(text + "\n")
    return 1 if missed else 0


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


def _read_reference(options: argparse.Namespace, manifest: dict[str, Any]) -> SourceModel:
    if options.reference is not None:
        return read_source(options.reference)
    if not (options.model / MANIFEST).is_file():
        return read_source(options.model)
    try:
        return read_source(resolve_folder(manifest["source"]))
    except ExportError as error:
        raise SourceInvalid(
            f"{error}; name the source folder of {manifest['name']} with --reference"
        ) from error


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m exporter.parity", description=__doc__)
    parser.add_argument(
        "--model",
        required=True,
        type=Path,
        help="a model folder, or a source folder (its int8 form is then made)",
    )
    parser.add_argument(
        "--reference", type=Path, help="source folder; default: the one the manifest names"
    )
    parser.add_argument("--texts", type=Path, help="JSON lines with `text`")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
