"""Lays a release out: indexes, passages and projections, whole and by shard; models copied."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from building.plan import BuildPlan
from encoder_svc.manifest import open_model_folder
from index_svc.ivf import build_flat, build_ivf, default_nlist, train_centroids, write_index
from releases.layout import (
    ENCODER_FOLDER,
    FLAT_INDEX_NAME,
    MODEL_CARDS_FOLDER,
    PROJECTION_NAME,
    PROJECTIONS_NAME,
    shard_paths,
)
from releases.passages import write_passages
from retrieval_core.errors import FailedPrecondition, InvalidInput
from retrieval_core.projection import project, projection_matrix
from retrieval_core.vectors import Float16Matrix, Float32Matrix

_CARD_NAME = "MODEL_CARD.md"
_ENCODER_CARD_NAME = "encoder.md"


@dataclass(frozen=True, slots=True)
class Contents:
    """What is laid out; row i of all three is the same passage.

    table of PASSAGE_SCHEMA [n], vectors [n, 768] float32 unit rows, centroids [nlist, 768].
    """

    table: pa.Table
    vectors: Float32Matrix
    centroids: Float32Matrix


def train_coarse_quantizer(vectors: Float32Matrix, nlist: int | None, seed: int) -> Float32Matrix:
    """Centroids [nlist, 768] that all shards share. InvalidInput for more lists than passages."""
    wanted = nlist or default_nlist(len(vectors))
    if wanted > len(vectors):
        raise InvalidInput("--nlist", f"is {wanted}, but there are {len(vectors)} passages")
    return train_centroids(vectors, wanted, seed)


def write_indexes(folder: Path, contents: Contents, shard_count: int) -> None:
    """The flat truth, the whole IVF index with its rows, and each shard's part of them."""
    write_index(build_flat(contents.vectors), folder / FLAT_INDEX_NAME)
    matrix = projection_matrix()
    np.save(folder / PROJECTION_NAME, matrix)
    projections = project(contents.vectors, matrix)
    everything = np.arange(len(contents.vectors))
    _write_part(folder, shard_paths(0, 1).index, contents, everything)
    write_passages(contents.table, folder / shard_paths(0, 1).passages)
    np.save(folder / PROJECTIONS_NAME, projections)
    if shard_count > 1:
        for shard in range(shard_count):
            _write_shard(folder, contents, projections, shard, shard_count)


def shard_rows(
    passage_ids: npt.NDArray[np.int64], shard: int, shard_count: int
) -> npt.NDArray[np.intp]:
    """Rows whose passage belongs to the shard: passage_id modulo the number of shards."""
    return np.flatnonzero(passage_ids % shard_count == shard)


def copy_models(folder: Path, plan: BuildPlan) -> None:
    """The encoder's folder, the reranker and query models that fit it, and the cards of all.

    FailedPrecondition if the encoder was replaced since the passages were encoded.
    """
    source = plan.encoder
    target = folder / ENCODER_FOLDER
    target.mkdir()
    (folder / MODEL_CARDS_FOLDER).mkdir()
    for name in ("manifest.json", *(file.name for file in source.manifest.files)):
        shutil.copyfile(source.path / name, target / name)
    if (source.path / _CARD_NAME).is_file():
        shutil.copyfile(source.path / _CARD_NAME, folder / MODEL_CARDS_FOLDER / _ENCODER_CARD_NAME)
    if open_model_folder(target).manifest.fingerprint != source.manifest.fingerprint:
        raise FailedPrecondition(f"{source.path} changed during the build", reason="MODEL_CHANGED")
    for name, path in _bundled_files(plan).items():
        shutil.copyfile(path, folder / name)


def _bundled_files(plan: BuildPlan) -> dict[str, Path]:
    """Name within the release, and the file to copy, of all models but the encoder."""
    files = {} if plan.reranker is None else plan.reranker.bundled_files()
    for model in plan.query_models:
        files |= model.bundled_files()
    return files


def _write_shard(
    folder: Path, contents: Contents, projections: Float16Matrix, shard: int, shard_count: int
) -> None:
    passage_ids = contents.table["passage_id"].to_numpy()
    rows = shard_rows(passage_ids, shard, shard_count)
    paths = shard_paths(shard, shard_count)
    (folder / paths.index).parent.mkdir(parents=True)
    _write_part(folder, paths.index, contents, rows)
    write_passages(contents.table.take(pa.array(rows)), folder / paths.passages)
    np.save(folder / paths.projections, projections[rows])


def _write_part(folder: Path, name: str, contents: Contents, rows: npt.NDArray[np.intp]) -> None:
    index = build_ivf(contents.centroids, contents.vectors[rows])
    write_index(index, folder / name)
