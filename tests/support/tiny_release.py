"""A small but valid release without an encoder: clustered random unit vectors and made-up texts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from index_svc.ivf import build_flat, build_ivf, default_nlist, train_centroids, write_index
from releases.bundle import Release
from releases.layout import (
    ENCODER_FOLDER,
    FLAT_INDEX_NAME,
    IVF_INDEX_NAME,
    PASSAGES_NAME,
    PROJECTION_NAME,
    PROJECTIONS_NAME,
    shard_paths,
)
from releases.manifest import CorpusRecord, CutRecord, EncoderRecord, Manifest
from releases.passages import PASSAGE_SCHEMA, write_passages
from releases.writing import lock_build, publish_release, staging_folder
from retrieval_core.hits import Int64Array
from retrieval_core.projection import (
    PROJECTION_COLUMNS,
    PROJECTION_SEED,
    project,
    projection_matrix,
)
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows

TINY_FINGERPRINT = "sha256:" + "7e" * 32
PASSAGES_AN_ARTICLE = 5


@dataclass(frozen=True)
class TinyCorpus:
    """Vectors [n, 768] and the passages they belong to, in row order."""

    vectors: Float32Matrix
    table: pa.Table

    @property
    def passage_ids(self) -> Int64Array:
        ids: Int64Array = self.table["passage_id"].to_numpy()
        return ids

    @property
    def lanes(self) -> list[str]:
        lanes: list[str] = self.table["lane"].to_pylist()
        return lanes


@dataclass(frozen=True)
class TinyRelease:
    """A release on disk and the corpus it was made of."""

    release: Release
    corpus: TinyCorpus

    @property
    def folder(self) -> Path:
        return self.release.folder


def clustered_vectors(count: int, *, clusters: int = 12, seed: int = 1) -> Float32Matrix:
    """Unit vectors [count, 768] around a few directions; neighbours differ clearly."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(clusters, DIMENSIONS))
    spread = generator.normal(size=(count, DIMENSIONS))
    return normalize_rows(centres[generator.integers(0, clusters, count)] + 0.7 * spread)


def queries_near(vectors: Float32Matrix, count: int, *, seed: int = 2) -> Float32Matrix:
    """Unit vectors [count, 768], each close to some passage."""
    generator = np.random.default_rng(seed)
    picked = vectors[generator.integers(0, len(vectors), count)]
    return normalize_rows(picked + 0.02 * generator.normal(size=picked.shape))


def passage_table(lanes: list[str]) -> pa.Table:
    """One passage a lane given: ids 0, 1, ...; five passages an article, each of another text."""
    rows = range(len(lanes))
    return pa.table(
        {
            "passage_id": list(rows),
            "article_id": [f"article-{row // PASSAGES_AN_ARTICLE}" for row in rows],
            "position": [row % PASSAGES_AN_ARTICLE for row in rows],
            "lane": lanes,
            "text": [f"Passage {row} says “καλημέρα” to number {row * row}." for row in rows],
        },
        schema=PASSAGE_SCHEMA,
    )


def tiny_corpus(
    passage_count: int = 300, *, lanes: tuple[str, ...] = ("guide", "news"), seed: int = 1
) -> TinyCorpus:
    """Articles take the lanes in turn."""
    by_row = [lanes[row // PASSAGES_AN_ARTICLE % len(lanes)] for row in range(passage_count)]
    return TinyCorpus(clustered_vectors(passage_count, seed=seed), passage_table(by_row))


def build_tiny_release(
    releases_folder: Path,
    *,
    name: str = "tiny",
    shard_count: int = 1,
    corpus: TinyCorpus | None = None,
    nprobe: int = 8,
    fingerprint: str = TINY_FINGERPRINT,
    encoder_folder: Path | None = None,
) -> TinyRelease:
    """Publish a release of the corpus (300 passages by default) under `releases_folder`.

    With `encoder_folder` that model folder is bundled; pass its fingerprint as well.
    """
    releases_folder.mkdir(parents=True, exist_ok=True)
    corpus = corpus or tiny_corpus()
    nlist = default_nlist(len(corpus.vectors))
    with lock_build(releases_folder, name), staging_folder(releases_folder, name) as staging:
        centroids = train_centroids(corpus.vectors, nlist, seed=0)
        _write_whole(staging, corpus, centroids)
        for shard in range(shard_count if shard_count > 1 else 0):
            _write_shard(staging, corpus, centroids, shard, shard_count)
        if encoder_folder is not None:
            shutil.copytree(encoder_folder, staging / ENCODER_FOLDER)
        manifest = _manifest(name, corpus, shard_count, nlist, nprobe, fingerprint)
        return TinyRelease(publish_release(staging, releases_folder, manifest), corpus)


def _write_whole(staging: Path, corpus: TinyCorpus, centroids: Float32Matrix) -> None:
    write_index(build_flat(corpus.vectors), staging / FLAT_INDEX_NAME)
    write_index(build_ivf(centroids, corpus.vectors), staging / IVF_INDEX_NAME)
    write_passages(corpus.table, staging / PASSAGES_NAME)
    np.save(staging / PROJECTION_NAME, projection_matrix())
    np.save(staging / PROJECTIONS_NAME, project(corpus.vectors, projection_matrix()))


def _write_shard(
    staging: Path, corpus: TinyCorpus, centroids: Float32Matrix, shard: int, shard_count: int
) -> None:
    paths = shard_paths(shard, shard_count)
    (staging / paths.index).parent.mkdir(parents=True)
    rows = np.flatnonzero(corpus.passage_ids % shard_count == shard)
    vectors = corpus.vectors[rows]
    write_index(build_ivf(centroids, vectors), staging / paths.index)
    write_passages(corpus.table.take(rows), staging / paths.passages)
    np.save(staging / paths.projections, project(vectors, projection_matrix()))


def _manifest(  # noqa: PLR0917 - the facts of one release
    name: str, corpus: TinyCorpus, shard_count: int, nlist: int, nprobe: int, fingerprint: str
) -> Manifest:
    return Manifest(
        release_id=name,
        created="2026-01-01T00:00:00Z",
        corpus=CorpusRecord("random", "sha256:" + "00" * 32),
        encoder=EncoderRecord(fingerprint, "none", "fp32", 512),
        reranker=None,
        dimensions=DIMENSIONS,
        passage_count=len(corpus.vectors),
        article_count=len(set(corpus.table["article_id"].to_pylist())),
        lanes=tuple(sorted(set(corpus.lanes))),
        shard_count=shard_count,
        nlist=nlist,
        nprobe=nprobe,
        projection_dimensions=PROJECTION_COLUMNS,
        seed=PROJECTION_SEED,
        cut=CutRecord(512, 0),
        gates={},
        files={},
    )
