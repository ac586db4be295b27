"""The reranker that a release is served with; needs no index."""

from __future__ import annotations

from pathlib import Path

import rerank_svc
from releases.bundle import Release
from releases.layout import RERANKER_MANIFEST_NAME, RERANKER_MODEL_NAME
from rerank_svc.model import RerankModel
from retrieval_core.errors import FailedPrecondition

EMBEDDED_FOLDER = Path(rerank_svc.__file__).parent / "default_model"


def load_reranker(release: Release) -> RerankModel | None:
    """The release's reranker, verified, or None where it has none."""
    if release.manifest.reranker is None:
        return None
    release.verify([RERANKER_MODEL_NAME, RERANKER_MANIFEST_NAME])
    model = RerankModel.load(release.folder)
    model.check_fingerprint(release.manifest.encoder.fingerprint)
    return model


def served_reranker(release: Release) -> RerankModel | None:
    """The release's own, or else the embedded one; None where that refuses the vectors."""
    if (own := load_reranker(release)) is not None:
        return own
    embedded = RerankModel.load(EMBEDDED_FOLDER)
    try:
        embedded.check_fingerprint(release.manifest.encoder.fingerprint)
    except FailedPrecondition:
        return None
    return embedded
