"""A small release without real indexes, for tests of reading, sealing and pointing."""

from __future__ import annotations

from pathlib import Path

from releases.bundle import Release
from releases.layout import shard_paths
from releases.manifest import CorpusRecord, CutRecord, EncoderRecord, Gate, Manifest
from releases.writing import lock_build, publish_release, staging_folder


def make_manifest(name: str, shard_count: int = 1) -> Manifest:
    return Manifest(
        release_id=name,
        created="2026-01-02T03:04:05Z",
        corpus=CorpusRecord("corpus", "sha256:00"),
        encoder=EncoderRecord("sha256:11", "tiny", "int8", 512),
        reranker=None,
        dimensions=768,
        passage_count=7,
        article_count=3,
        lanes=("default", "other"),
        shard_count=shard_count,
        nlist=2,
        nprobe=8,
        projection_dimensions=64,
        seed=0,
        cut=CutRecord(96, 0),
        gates={"unit_norm": Gate(1e-7, 1e-5, True)},
        files={},
    )


def make_release(releases_folder: Path, name: str, shard_count: int = 1) -> Release:
    with lock_build(releases_folder, name), staging_folder(releases_folder, name) as staging:
        for shard in range(shard_count):
            for path in shard_paths(shard, shard_count):
                (staging / path).parent.mkdir(parents=True, exist_ok=True)
                (staging / path).write_bytes(f"{name} {path}".encode())
        (staging / "encoder").mkdir()
        (staging / "encoder" / "model.onnx").write_bytes(b"graph")
        return publish_release(staging, releases_folder, make_manifest(name, shard_count))


def overwrite(path: Path, content: bytes) -> None:
    """Change a file of a sealed release, which is read-only."""
    path.chmod(0o644)
    path.write_bytes(content)
