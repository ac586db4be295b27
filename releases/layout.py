"""Where each thing stands within a release."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

VERSION_NAME = "VERSION"
FLAT_INDEX_NAME = "p_flat_ip.faiss"
IVF_INDEX_NAME = "p_ivf.faiss"
PASSAGES_NAME = "passages.arrow"
PROJECTION_NAME = "projection.npy"
PROJECTIONS_NAME = "projections.npy"
ENCODER_FOLDER = "encoder"
SHARDS_FOLDER = "shards"
RERANKER_MODEL_NAME = "reranker_mlp_v0.onnx"
RERANKER_MANIFEST_NAME = "reranker_mlp_v0.json"
QUERY_MODEL_NAMES = ("amn_v0", "gru_v0")
"""Learned query models; each is a graph and a manifest, at the top level of a release."""
MODEL_CARDS_FOLDER = "model_cards"
METRICS_NAME = "metrics.json"


@dataclass(frozen=True, slots=True)
class ShardPaths:
    """Paths of one shard's files, relative to the release; rows of all three are the same."""

    index: str
    passages: str
    projections: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.index, self.passages, self.projections))


def query_model_graph(name: str) -> str:
    """The ONNX graph of a query model."""
    return f"{name}.onnx"


def query_model_manifest(name: str) -> str:
    """What a query model says of itself."""
    return f"{name}.json"


def shard_paths(shard: int, shard_count: int) -> ShardPaths:
    """The files of shard 0..shard_count-1; a single shard is the whole, at the top level."""
    if not 0 <= shard < shard_count:
        raise ValueError(f"shard {shard} is not one of 0..{shard_count - 1}")
    prefix = "" if shard_count == 1 else f"{SHARDS_FOLDER}/{shard}/"
    return ShardPaths(prefix + IVF_INDEX_NAME, prefix + PASSAGES_NAME, prefix + PROJECTIONS_NAME)
