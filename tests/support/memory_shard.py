"""Shards made in memory from a few vectors of any dimension, without files."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from index_svc.artifacts import ShardArtifacts, imbalance_ratio
from index_svc.ivf import build_ivf
from index_svc.passages import PassageTable
from index_svc.shard import SearchLimits, Shard, ShardFacts
from releases.passages import PASSAGE_SCHEMA
from retrieval_core.hits import Int64Array
from retrieval_core.vectors import Float32Matrix

MEMORY_FINGERPRINT = "sha256:" + "3e" * 32


def memory_shard(
    vectors: Float32Matrix,
    passage_ids: Int64Array,
    lanes: list[str],
    centroids: Float32Matrix,
    *,
    nprobe: int = 8,
    limits: SearchLimits | None = None,
) -> Shard:
    """A shard of vectors [n, d] with passage_ids [n] and the lane of each."""
    index = build_ivf(centroids, vectors)
    index.make_direct_map(True)
    projections = np.zeros((len(vectors), 4), np.float16)
    passages = PassageTable(_table(passage_ids, lanes))
    facts = ShardFacts(
        release_id="memory",
        shard=0,
        shard_count=1,
        passage_count=len(vectors),
        dimensions=vectors.shape[1],
        nlist=len(centroids),
        nprobe=min(nprobe, len(centroids)),
        lanes=tuple(sorted(set(lanes))),
        fingerprint=MEMORY_FINGERPRINT,
        projection_dimensions=4,
        imbalance_ratio=imbalance_ratio(index),
        trained_count=len(vectors),
    )
    return Shard(ShardArtifacts(index, passages, projections), facts, limits)


def memory_shards(
    vectors: Float32Matrix,
    passage_ids: Int64Array,
    lanes: list[str],
    centroids: Float32Matrix,
    shard_count: int,
) -> list[Shard]:
    """The same corpus cut by passage id; every shard has the same centroids."""
    parts = [np.flatnonzero(passage_ids % shard_count == shard) for shard in range(shard_count)]
    return [
        memory_shard(vectors[part], passage_ids[part], [lanes[row] for row in part], centroids)
        for part in parts
    ]


def _table(passage_ids: Int64Array, lanes: list[str]) -> pa.Table:
    return pa.table(
        {
            "passage_id": passage_ids,
            "article_id": [f"article-{passage_id // 3}" for passage_id in passage_ids.tolist()],
            "position": [passage_id % 3 for passage_id in passage_ids.tolist()],
            "lane": lanes,
            "text": [f"text of {passage_id}" for passage_id in passage_ids.tolist()],
        },
        schema=PASSAGE_SCHEMA,
    )
