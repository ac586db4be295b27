"""Finds out whether a reranker fits a release, and which of its files to bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from releases.json_fields import read_json_object
from releases.layout import MODEL_CARDS_FOLDER, RERANKER_MANIFEST_NAME, RERANKER_MODEL_NAME
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact

CARD_NAME = "MODEL_CARD.md"
BUNDLED_CARD_NAME = f"{MODEL_CARDS_FOLDER}/reranker_mlp_v0.md"


@dataclass(frozen=True, slots=True)
class RerankerFolder:
    """A verified reranker; `digest` is the sha256 of its manifest, which names its graph's."""

    path: Path
    name: str
    digest: str

    def bundled_files(self) -> dict[str, Path]:
        """Name within the release, and the file to copy."""
        names = {RERANKER_MODEL_NAME: RERANKER_MODEL_NAME}
        names[RERANKER_MANIFEST_NAME] = RERANKER_MANIFEST_NAME
        if (self.path / CARD_NAME).is_file():
            names[BUNDLED_CARD_NAME] = CARD_NAME
        return {bundled: self.path / name for bundled, name in names.items()}


def read_fitting_reranker(
    folder: Path, encoder_fingerprint: str, projection_digest: str
) -> RerankerFolder | None:
    """The reranker in `folder`, or None where there is none or it is for other vectors.

    DamagedArtifact for a manifest that cannot be read and for a graph that differs from it.
    """
    manifest = folder / RERANKER_MANIFEST_NAME
    if not manifest.is_file():
        return None
    fields = read_json_object(manifest)
    if (
        fields.text("encoder_fingerprint") != encoder_fingerprint
        or fields.child("projection").text("digest") != projection_digest
    ):
        return None
    graph = folder / RERANKER_MODEL_NAME
    stated = fields.child("files").child(RERANKER_MODEL_NAME).text("sha256")
    if not graph.is_file() or sha256_of_file(graph) != stated:
        raise DamagedArtifact(f"{graph}: is not the file that {RERANKER_MANIFEST_NAME} names")
    return RerankerFolder(folder, fields.text("name"), sha256_of_file(manifest))
