"""Learned query models on disk: a graph and the manifest that says which encoder it is for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from encoder_svc.onnx_query_model import OnnxQueryModel
from releases.json_fields import JsonFields, read_json_object
from releases.layout import QUERY_MODEL_NAMES, query_model_graph, query_model_manifest
from retrieval_core.checksums import sha256_of_file
from retrieval_core.errors import DamagedArtifact, FailedPrecondition, InvalidInput, NotFound

FORMAT = "retrieval-query-model/1"


@dataclass(frozen=True, slots=True)
class QueryModelManifest:
    """What `<name>.json` says; sha256 and bytes are those of the graph."""

    name: str
    encoder_fingerprint: str
    sha256: str
    bytes: int
    parameter_count: int


def load_query_model(folder: Path, name: str, encoder_fingerprint: str) -> OnnxQueryModel:
    """The model `name` of `folder`, loaded after its checksum and for this encoder alone.

    InvalidInput for a name that no learned model has, NotFound where the folder has no such model,
    FailedPrecondition for one of another encoder, DamagedArtifact for files that are not what the
    manifest says or a graph that is no query model.
    """
    manifest = read_query_model_manifest(folder, name)
    if manifest.encoder_fingerprint != encoder_fingerprint:
        raise FailedPrecondition(
            f"{name} was trained on encoder {manifest.encoder_fingerprint}, "
            f"the vectors are of encoder {encoder_fingerprint}",
            reason="FINGERPRINT_MISMATCH",
        )
    return OnnxQueryModel.load(name, verified_graph(folder, manifest))


def read_query_model_manifest(folder: Path, name: str) -> QueryModelManifest:
    """Read `<name>.json` alone; errors are those of load_query_model."""
    if name not in QUERY_MODEL_NAMES:
        raise InvalidInput("query_model", f"{name!r} is none of {[*QUERY_MODEL_NAMES]}")
    path = folder / query_model_manifest(name)
    if not path.is_file():
        raise NotFound(f"{path}: there is no such query model")
    fields = read_json_object(path)
    if fields.text("format") != FORMAT:
        raise fields.wrong("format", repr(FORMAT))
    if fields.text("name") != name:
        raise fields.wrong("name", repr(name))
    return _parse(fields, name)


def verified_graph(folder: Path, manifest: QueryModelManifest) -> Path:
    """The graph's path once its length and sha256 agree; DamagedArtifact naming it otherwise."""
    path = folder / query_model_graph(manifest.name)
    if not path.is_file():
        raise DamagedArtifact(f"{path}: is missing")
    if path.stat().st_size != manifest.bytes or sha256_of_file(path) != manifest.sha256:
        raise DamagedArtifact(
            f"{path}: is not the file that {query_model_manifest(manifest.name)} names"
        )
    return path


def _parse(fields: JsonFields, name: str) -> QueryModelManifest:
    graph = fields.child("files").child(query_model_graph(name))
    return QueryModelManifest(
        name=name,
        encoder_fingerprint=fields.text("encoder_fingerprint"),
        sha256=graph.text("sha256"),
        bytes=graph.integer("bytes"),
        parameter_count=fields.integer("parameter_count"),
    )
