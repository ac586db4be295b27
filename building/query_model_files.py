"""Finds out which query models fit a release, and which of their files to bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from encoder_svc.query_model_files import read_query_model_manifest, verified_graph
from releases.layout import (
    MODEL_CARDS_FOLDER,
    QUERY_MODEL_NAMES,
    query_model_graph,
    query_model_manifest,
)
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import NotFound


@dataclass(frozen=True, slots=True)
class QueryModelFolder:
    """A verified query model; `digest` is the sha256 of its manifest, which names its graph's."""

    path: Path
    name: str
    digest: str

    def bundled_files(self) -> dict[str, Path]:
        """Name within the release, and the file to copy."""
        files = (query_model_graph(self.name), query_model_manifest(self.name))
        found = {name: self.path / name for name in files}
        card = self.path / f"{self.name}.md"
        if card.is_file():
            found[f"{MODEL_CARDS_FOLDER}/{card.name}"] = card
        return found


def read_fitting_query_models(
    folder: Path, encoder_fingerprint: str
) -> tuple[QueryModelFolder, ...]:
    """The query models of `folder` that were trained on this encoder, in the order of fallback.

    DamagedArtifact for a manifest that cannot be read and for a graph that differs from it.
    """
    found = (_read_fitting(folder, name, encoder_fingerprint) for name in QUERY_MODEL_NAMES)
    return tuple(model for model in found if model is not None)


def _read_fitting(folder: Path, name: str, encoder_fingerprint: str) -> QueryModelFolder | None:
    try:
        manifest = read_query_model_manifest(folder, name)
    except NotFound:
        return None
    if manifest.encoder_fingerprint != encoder_fingerprint:
        return None
    verified_graph(folder, manifest)
    return QueryModelFolder(folder, name, sha256_of_file(folder / query_model_manifest(name)))
