"""What is served now: the models of a release, or the embedded ones where it has none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluation.query_models import QueryModelSource, query_models_of
from evaluation.rerankers import served_reranker
from releases.bundle import Release
from training.retrain.comparing import RankingPair


@dataclass(frozen=True, slots=True)
class Served:
    """Folders and models; `pair` ranks as callers get it."""

    encoder_folder: Path
    query_models: QueryModelSource
    pair: RankingPair


def open_served(release: Release) -> Served:
    """Verify and load what the release is served with."""
    query_models = query_models_of(release)
    return Served(
        release.encoder_folder(),
        query_models,
        RankingPair(query_models.find(), served_reranker(release)),
    )
