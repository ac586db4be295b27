"""Finds the float32 source that a model folder is compared with, where it is at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import ExportError
from exporter.model_folder import MANIFEST
from exporter.source import SourceModel, read_source, resolve_folder, weights_digest

CHECKPOINTS = Path("artifacts/training/encoder")


@dataclass(frozen=True)
class Reference:
    """The source, or None; `where` says where it was found, or why it was not."""

    source: SourceModel | None
    where: str


def find_reference(
    model: Path, manifest: Mapping[str, Any], named: Path | None, checkpoints: Path = CHECKPOINTS
) -> Reference:
    """The folder that was named, the model itself if it is a source, or the one it was made of.

    The last is a checkpoint with the weights that the manifest states, or what its `source` names.
    Raises SourceInvalid or UnsupportedModel for a folder that was named and cannot be read.
    """
    if named is not None:
        return Reference(read_source(named), f"{named}{_doubt(named, manifest)}")
    if not (model / MANIFEST).is_file():
        return Reference(read_source(model), str(model))
    for folder in _candidates(checkpoints):
        if weights_digest(folder) == manifest.get("source_weights"):
            return Reference(read_source(folder), str(folder))
    return _stated_source(str(manifest["source"]))


def _candidates(checkpoints: Path) -> Sequence[Path]:
    return sorted(checkpoints.glob("*/checkpoint"), reverse=True)


def _doubt(folder: Path, manifest: Mapping[str, Any]) -> str:
    stated = manifest.get("source_weights")
    if stated is None or stated == weights_digest(folder):
        return ""
    return ", whose weights are not those that the model was made of"


def _stated_source(source: str) -> Reference:
    try:
        return Reference(read_source(resolve_folder(source)), source)
    except (ExportError, OSError, ImportError) as error:
        return Reference(None, f"{error}".splitlines()[0])
