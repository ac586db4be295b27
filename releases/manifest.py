"""What a release says of itself: the manifest, typed, and its strict reading and writing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from releases.json_fields import JsonFields, read_json_object
from retrieval_core.errors import DamagedArtifact

FORMAT = "retrieval-release/1"
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a file of the release must be: its digest (hex) and its length."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class EncoderRecord:
    """The encoder that made the passage vectors and has to make the query vectors."""

    fingerprint: str
    name: str
    precision: str
    max_tokens: int


@dataclass(frozen=True, slots=True)
class CorpusRecord:
    """What was built: a readable name, and the digest of all inputs and options."""

    name: str
    inputs_digest: str


@dataclass(frozen=True, slots=True)
class CutRecord:
    """How passages were cut; `truncated_count` of them are longer than the encoder reads."""

    max_tokens: int
    truncated_count: int


@dataclass(frozen=True, slots=True)
class Gate:
    """One figure checked at the build, the limit it is held against, and the outcome."""

    figure: float
    limit: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of manifest.json; `files` maps POSIX paths within the release.

    `created` is RFC 3339 in UTC. `reranker` names the bundled reranker, or is None without one.
    """

    release_id: str
    created: str
    corpus: CorpusRecord
    encoder: EncoderRecord
    reranker: str | None
    dimensions: int
    passage_count: int
    article_count: int
    lanes: tuple[str, ...]
    shard_count: int
    nlist: int
    nprobe: int
    projection_dimensions: int
    seed: int
    cut: CutRecord
    gates: Mapping[str, Gate]
    files: Mapping[str, FileRecord]


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the release in `folder`.

    Raises DamagedArtifact naming the file and the key when the file is absent, of an unknown
    format, or lacks a key; keys that this version does not know are ignored.
    """
    fields = read_json_object(folder / MANIFEST_NAME)
    if (found := fields.text("format")) != FORMAT:
        raise DamagedArtifact(f"{fields.path}: key `format` is {found!r}, expected {FORMAT!r}")
    manifest = _parse(fields)
    _check_ranges(manifest, fields)
    return manifest


def manifest_bytes(manifest: Manifest) -> bytes:
    """The manifest as it stands in the file: sorted keys, so that equal manifests are equal."""
    values = {"format": FORMAT, **_plain(manifest)}
    return (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _plain(manifest: Manifest) -> dict[str, object]:
    # asdict cannot copy read-only mappings.
    values: dict[str, object] = {}
    for field in dataclasses.fields(manifest):
        value = getattr(manifest, field.name)
        if isinstance(value, Mapping):
            values[field.name] = {key: dataclasses.asdict(item) for key, item in value.items()}
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            values[field.name] = dataclasses.asdict(value)
        else:
            values[field.name] = value
    return values


def _parse(fields: JsonFields) -> Manifest:
    return Manifest(
        release_id=fields.text("release_id"),
        created=fields.text("created"),
        corpus=_parse_corpus(fields.child("corpus")),
        encoder=_parse_encoder(fields.child("encoder")),
        reranker=fields.optional_text("reranker"),
        dimensions=fields.integer("dimensions"),
        passage_count=fields.integer("passage_count"),
        article_count=fields.integer("article_count"),
        lanes=fields.texts("lanes"),
        shard_count=fields.integer("shard_count"),
        nlist=fields.integer("nlist"),
        nprobe=fields.integer("nprobe"),
        projection_dimensions=fields.integer("projection_dimensions"),
        seed=fields.integer("seed"),
        cut=_parse_cut(fields.child("cut")),
        gates=_parse_gates(fields.child("gates")),
        files=_parse_files(fields.child("files")),
    )


def _parse_corpus(fields: JsonFields) -> CorpusRecord:
    return CorpusRecord(fields.text("name"), fields.text("inputs_digest"))


def _parse_encoder(fields: JsonFields) -> EncoderRecord:
    return EncoderRecord(
        fields.text("fingerprint"),
        fields.text("name"),
        fields.text("precision"),
        fields.integer("max_tokens"),
    )


def _parse_cut(fields: JsonFields) -> CutRecord:
    return CutRecord(fields.integer("max_tokens"), fields.integer("truncated_count"))


def _parse_gates(fields: JsonFields) -> Mapping[str, Gate]:
    return MappingProxyType(
        {
            name: Gate(gate.number("figure"), gate.number("limit"), gate.boolean("passed"))
            for name, gate in fields.children()
        }
    )


def _parse_files(fields: JsonFields) -> Mapping[str, FileRecord]:
    files = {}
    for name, record in fields.children():
        if not _stays_inside(name):
            raise DamagedArtifact(f"{fields.path}: key `files` names {name!r}, outside the release")
        files[name] = FileRecord(record.text("sha256"), record.integer("bytes"))
    return MappingProxyType(files)


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _check_ranges(manifest: Manifest, fields: JsonFields) -> None:
    for key in ("dimensions", "passage_count", "article_count", "shard_count", "nlist", "nprobe"):
        if getattr(manifest, key) < 1:
            raise fields.wrong(key, "at least 1")
