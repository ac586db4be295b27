"""python -m exporter: write a model folder that the encoder service loads."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from exporter.errors import ExportError
from exporter.export import BOUNDS, ExportPlan, export
from exporter.source import read_source, resolve_folder
from exporter.texts import docstring_texts, read_texts

_TEXT_COUNT = 550


def main(arguments: list[str] | None = None) -> int:
    """0: written and within its bounds; 1: refused, with the reason; 2: wrong usage."""
    options = _parse(arguments)
    try:
        folder = resolve_folder(options.model)
        source = read_source(folder, options.name, options.max_tokens)
        source = replace(source, license=options.license or source.license)
        texts = read_texts(options.texts) if options.texts else docstring_texts(_TEXT_COUNT)
        label = options.model if not Path(options.model).is_absolute() else folder.name
        bounds = None if options.unchecked else BOUNDS[options.precision]
        plan = ExportPlan(options.precision, options.writer, texts, label, bounds)
        manifest = export(source, options.out, plan)
    except ExportError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(manifest, indent=2))
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m exporter", description=__doc__)
    parser.add_argument("--model", required=True, help="hub name (owner/name) or a local folder")
    parser.add_argument("--out", required=True, type=Path, help="model folder to write or replace")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    parser.add_argument(
        "--writer",
        choices=("optimum", "lean"),
        default="optimum",
        help="who writes the fp32 graph (int8 is always the lean one)",
    )
    parser.add_argument("--name", help="name in the manifest; default: the source folder's name")
    parser.add_argument("--license", help="default: what the source's README says")
    parser.add_argument("--max-tokens", type=int, help="default: what the source declares")
    parser.add_argument(
        "--texts",
        type=Path,
        help="JSON lines with `text`, to calibrate and check with; "
        "default: the standard library's docstrings",
    )
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="publish without the parity check (random weights, experiments)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
