"""What a reranker on disk says of itself, and the files that it says it of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from releases.json_fields import JsonFields, read_json_object
from releases.layout import RERANKER_MANIFEST_NAME, RERANKER_MODEL_NAME
from rerank_svc.features import FEATURE_NAMES
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact
from retrieval_core.projection import projection_digest, projection_matrix
from retrieval_core.vectors import Float32Matrix

FORMAT = "retrieval-reranker/1"


@dataclass(frozen=True, slots=True)
class RerankerManifest:
    """The contents of reranker_mlp_v0.json; `model_sha256` is of the graph's file."""

    name: str
    encoder_fingerprint: str
    projection_dimensions: int
    projection_seed: int
    projection_digest: str
    feature_names: tuple[str, ...]
    model_sha256: str
    model_bytes: int


def read_reranker_manifest(folder: Path) -> RerankerManifest:
    """Read the manifest in `folder`.

    DamagedArtifact for a file that is missing, of another format, lacks a key, or is for other
    features than this version computes.
    """
    fields = read_json_object(folder / RERANKER_MANIFEST_NAME)
    if fields.text("format") != FORMAT:
        raise fields.wrong("format", repr(FORMAT))
    manifest = _parse(fields)
    if manifest.feature_names != FEATURE_NAMES:
        raise fields.wrong("feature_names", "the features that this version computes")
    return manifest


def verified_model_file(folder: Path, manifest: RerankerManifest) -> Path:
    """The graph's path once its length and sha256 agree; DamagedArtifact naming it otherwise."""
    path = folder / RERANKER_MODEL_NAME
    if not path.is_file():
        raise DamagedArtifact(f"{path}: is missing")
    if path.stat().st_size != manifest.model_bytes or sha256_of_file(path) != manifest.model_sha256:
        raise DamagedArtifact(f"{path}: is not the file that {RERANKER_MANIFEST_NAME} names")
    return path


def manifest_projection(manifest: RerankerManifest) -> Float32Matrix:
    """The matrix [768, p] that the model was trained with, made again from its seed.

    DamagedArtifact where it is not the one of the manifest's digest.
    """
    matrix = projection_matrix(manifest.projection_seed, manifest.projection_dimensions)
    if (digest := projection_digest(matrix)) != manifest.projection_digest:
        raise DamagedArtifact(
            f"{RERANKER_MANIFEST_NAME}: key `projection.digest` is {manifest.projection_digest}, "
            f"but the seed gives {digest}"
        )
    return matrix


def _parse(fields: JsonFields) -> RerankerManifest:
    projection = fields.child("projection")
    model = fields.child("files").child(RERANKER_MODEL_NAME)
    columns = fields.integer("projection_dimensions")
    if columns < 1:
        raise fields.wrong("projection_dimensions", "1 or more")
    return RerankerManifest(
        name=fields.text("name"),
        encoder_fingerprint=fields.text("encoder_fingerprint"),
        projection_dimensions=columns,
        projection_seed=projection.integer("seed"),
        projection_digest=projection.text("digest"),
        feature_names=fields.texts("feature_names"),
        model_sha256=model.text("sha256"),
        model_bytes=model.integer("bytes"),
    )
