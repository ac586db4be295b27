"""What a model folder says of itself, and its files once their checksums agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from releases.json_fields import JsonFields, read_json_object
from retrieval_core.checksums import fingerprint_of, sha256_of_file
from retrieval_core.errors import DamagedArtifact, NotFound
from retrieval_core.vectors import DIMENSIONS

FORMAT = "retrieval-encoder/1"
MANIFEST_NAME = "manifest.json"
GRAPH_NAME = "model.onnx"
TOKENIZER_NAME = "tokenizer.json"
PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of the folder as the manifest states it."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class EncoderManifest:
    """The contents of manifest.json; `fingerprint` identifies the vector space."""

    name: str
    fingerprint: str
    dimensions: int
    max_tokens: int
    precision: str
    batch_invariant: bool
    source: str
    license: str
    files: tuple[ModelFile, ...]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model folder that was verified: its files are those of the manifest."""

    path: Path
    manifest: EncoderManifest

    @property
    def graph(self) -> Path:
        """The ONNX graph."""
        return self.path / GRAPH_NAME

    @property
    def tokenizer(self) -> Path:
        """The fast tokenizer's file."""
        return self.path / TOKENIZER_NAME


def open_model_folder(path: Path) -> ModelFolder:
    """Read the manifest and verify length and sha256 of every file that it lists.

    NotFound where there is no such folder; DamagedArtifact naming the file or key otherwise.
    """
    if not path.is_dir():
        raise NotFound(f"{path}: no such model folder")
    manifest = read_encoder_manifest(path)
    for file in manifest.files:
        _check_file(path / file.name, file)
    return ModelFolder(path, manifest)


def read_encoder_manifest(folder: Path) -> EncoderManifest:
    """Read and check the manifest alone. DamagedArtifact names the key that is wrong."""
    fields = read_json_object(folder / MANIFEST_NAME)
    if fields.text("format") != FORMAT:
        raise fields.wrong("format", repr(FORMAT))
    files = tuple(
        _read_file(fields, name, entry) for name, entry in fields.child("files").children()
    )
    manifest = EncoderManifest(
        name=fields.text("name"),
        fingerprint=fields.text("fingerprint"),
        dimensions=fields.integer("dimensions"),
        max_tokens=fields.integer("max_tokens"),
        precision=fields.text("precision"),
        batch_invariant=fields.boolean("batch_invariant"),
        source=fields.text("source"),
        license=fields.text("license"),
        files=files,
    )
    _check_values(fields, manifest)
    return manifest


def _read_file(fields: JsonFields, name: str, entry: JsonFields) -> ModelFile:
    if PurePath(name).name != name or name in ("", ".", ".."):
        raise fields.wrong("files", "an object of plain file names")
    return ModelFile(name, entry.text("sha256"), entry.integer("bytes"))


def _check_values(fields: JsonFields, manifest: EncoderManifest) -> None:
    names = {file.name for file in manifest.files}
    if not {GRAPH_NAME, TOKENIZER_NAME} <= names:
        raise fields.wrong("files", f"an object with {GRAPH_NAME} and {TOKENIZER_NAME}")
    if manifest.dimensions != DIMENSIONS:
        raise fields.wrong("dimensions", str(DIMENSIONS))
    if manifest.max_tokens < 2:
        raise fields.wrong("max_tokens", "2 or more")
    if manifest.precision not in PRECISIONS:
        raise fields.wrong("precision", " or ".join(PRECISIONS))
    if manifest.fingerprint != fingerprint_of({file.name: file.sha256 for file in manifest.files}):
        raise fields.wrong("fingerprint", "the digest over the listed files")


def _check_file(path: Path, stated: ModelFile) -> None:
    if not path.is_file():
        raise DamagedArtifact(f"{path}: is missing")
    if (size := path.stat().st_size) != stated.bytes:
        raise DamagedArtifact(f"{path}: has {size} bytes, the manifest says {stated.bytes}")
    if (digest := sha256_of_file(path)) != stated.sha256:
        raise DamagedArtifact(f"{path}: sha256 is {digest}, the manifest says {stated.sha256}")
